import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_llmrec.data.index_edits import place_items, refit_codewords
from hf_llmrec.data.item_index import ItemIndex
from hf_llmrec.indexing.build import build_index


def built(num_items: int = 60, dim: int = 6, seed: int = 0) -> tuple[ItemIndex, np.ndarray]:
    rng = np.random.default_rng(seed)
    vectors = (
        rng.standard_normal((4, dim))[np.arange(num_items) % 4] * 4 + rng.standard_normal((num_items, dim))
    ).astype(np.float32)
    return build_index(vectors, [f"i{row}" for row in range(num_items)], levels=3, codebook_size=8), vectors


def test_the_codewords_of_k_means_are_found_again():
    index, vectors = built()
    books = refit_codewords(index.codes, index.codebook_sizes, vectors - vectors.mean(0))
    for row in range(3):
        np.testing.assert_allclose(books[0][index.codes[row, 0]], index.codebooks[0][index.codes[row, 0]], atol=1e-5)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 80))
def test_new_codes_are_free_and_the_others_stay(seed, count):
    index, vectors = built(seed=seed)
    new = np.random.default_rng(seed + 1).standard_normal((count, vectors.shape[1])) * 4
    edited = index.add_items([f"n{row}" for row in range(count)], new, vectors)
    assert edited.is_unique and edited.num_items == 60 + count
    assert np.array_equal(edited.codes[:60], index.codes) and edited.item_ids[:60] == index.item_ids
    used = {tuple(codes[:-1]) for codes in index.codes.tolist()}
    assert all(tuple(codes[:-1]) in used for codes in edited.codes[60:].tolist()), "a prefix that no model has seen"
    again = index.add_items([f"n{row}" for row in range(count)], new, vectors)
    assert np.array_equal(again.codes, edited.codes)


def test_a_new_item_comes_beside_its_like():
    index, vectors = built()
    edited = index.add_items(["twin"], vectors[7:8] + 1e-3, vectors)
    centers = {tuple(c[:-1]): vectors[(index.codes[:, :-1] == c[:-1]).all(1)].mean(0) for c in index.codes}
    nearest = min(centers, key=lambda prefix: ((centers[prefix] - vectors[7]) ** 2).sum())
    assert tuple(edited.codes[-1, :-1]) == nearest
    assert edited.codes[-1, -1] in index.codes[:, -1], "a code that no item had, though others were free"


def test_a_full_prefix_sends_items_to_the_next_and_then_there_is_no_room():
    codes = np.array([[0, 0], [0, 1], [1, 0]])
    vectors = np.array([[0.0], [0.1], [5.0]])
    assert place_items(codes, (2, 2), vectors, np.array([[0.0]])).tolist() == [[1, 1]]
    with pytest.raises(ValueError, match="no free code for new item 1"):
        place_items(codes, (2, 2), vectors, np.array([[0.0], [0.0]]))


def test_an_index_without_codewords_can_grow(tmp_path):
    index, vectors = built()
    index.to_json(tmp_path / "x.index.json")
    read = ItemIndex.from_json(tmp_path / "x.index.json")
    assert read.codebooks is None and read.add_items(["new"], vectors[:1], vectors).is_unique


def test_removed_items_are_gone():
    index, _ = built()
    edited = index.remove_items(["i3", "i0"])
    assert edited.item_ids == [item for item in index.item_ids if item not in ("i0", "i3")]
    assert np.array_equal(edited.codes, np.delete(index.codes, [0, 3], axis=0))
    assert index.num_items == 60, "the index itself is another one now"


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda index, v: index.add_items(["i3"], v[:1], v), "'i3' is in the index already"),
        (lambda index, v: index.add_items(["n", "n"], v[:2], v), "'n' occurs more than once"),
        (lambda index, v: index.add_items(["n"], v[:2], v), r"embeddings must be \(1 items, 6\)"),
        (lambda index, v: index.add_items(["n"], v[:1, :3], v), r"embeddings must be \(1 items, 6\)"),
        (lambda index, v: index.add_items(["n"], v[:1], v[1:]), "known_embeddings must be"),
        (lambda index, v: index.add_items(["n"], v[:1] * np.nan, v), "embeddings hold values that are not finite"),
        (lambda index, v: index.remove_items(["other"]), "'other' is not in the index"),
    ],
)
def test_bad_edits(edit, message):
    with pytest.raises(ValueError, match=message):
        edit(*built())
