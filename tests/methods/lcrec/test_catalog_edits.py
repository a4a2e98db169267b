"""Items that join and leave a saved recommender: the model stays, the trie follows."""

import numpy as np
import pytest
from transformers import pipeline

from hf_llmrec.data.item_index import ItemIndex
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.lcrec.catalog_edits import save_with_index
from hf_llmrec.methods.lcrec.tokenization_lcrec import LCRecTokenizer


@pytest.fixture
def vectors(dataset):
    """What the index fixture was built from."""
    return np.random.default_rng(0).standard_normal((dataset.num_items, 8)).astype(np.float32)


@pytest.fixture
def folder(lcrec_folder):
    return lcrec_folder


def test_a_new_item_is_recommended_and_a_removed_one_never(folder, index, vectors, tmp_path, dataset):
    edited = index.add_items(["new"], vectors[3:4], vectors).remove_items(["i5", "i9"])
    (folder / "checkpoint-3").mkdir()
    save_with_index(folder, tmp_path / "edited", edited, {"new": "A new piece"})
    assert not (tmp_path / "edited" / "checkpoint-3").exists()
    old, new = AutoRecommender.from_pretrained(folder), AutoRecommender.from_pretrained(tmp_path / "edited")
    assert new.item_ids == [item for item in dataset.item_ids if item not in ("i5", "i9")] + ["new"]
    histories = [np.array([row, row + 1]) for row in range(4)]
    rows, scores = new.rank(histories, len(new.item_ids))
    assert all(sorted(row) == list(range(len(new.item_ids))) for row in rows), "not every item is found"
    # Who stays scores as before: same codes, same prompt, same model.
    row_of = {item: row for row, item in enumerate(new.item_ids)}
    assert [row_of[item] for item in dataset.item_ids[:5]] == list(range(5)), "histories would name other items"
    before, values = old.rank(histories, dataset.num_items)
    for number in range(len(histories)):
        was = {dataset.item_ids[row]: value for row, value in zip(before[number], values[number], strict=True)}
        now = {new.item_ids[row]: value for row, value in zip(rows[number], scores[number], strict=True)}
        assert set(was) - set(now) == {"i5", "i9"} and set(now) - set(was) == {"new"}
        stays = sorted(set(was) & set(now))
        np.testing.assert_allclose([now[item] for item in stays], [was[item] for item in stays], atol=1e-5)
    rec = pipeline("recommendation", model=str(tmp_path / "edited"))
    found = rec({"history": ["i1", "i2", "new"]}, top_k=len(new.item_ids))
    assert {"item_id": "new", "title": "A new piece"}.items() <= next(x for x in found if x["item_id"] == "new").items()
    tokenizer = LCRecTokenizer.from_pretrained(tmp_path / "edited")
    again = LCRecTokenizer.from_pretrained(folder)
    assert [level.tolist() for level in tokenizer.level_token_ids] == [x.tolist() for x in again.level_token_ids]
    assert len(tokenizer) == len(again) and ItemIndex.from_pretrained(tmp_path / "edited").item_ids == new.item_ids


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda index, vectors: (index.add_items(["new"], vectors[:1], vectors), {}), "'new' is new: give its title"),
        (lambda index, _: (ItemIndex(index.item_ids, index.codes[::-1], index.codebook_sizes), {}), "other codes"),
        (lambda index, _: (ItemIndex(index.item_ids, index.codes, (4, 4, 5)), {}), "codebooks of"),
    ],
)
def test_edits_that_the_model_can_not_follow(folder, index, vectors, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        save_with_index(folder, tmp_path / "edited", *change(index, vectors))
    assert not (tmp_path / "edited").exists()


def test_the_folder_itself_is_not_written_over(folder, index):
    with pytest.raises(ValueError, match="choose another folder"):
        save_with_index(folder, folder, index)
