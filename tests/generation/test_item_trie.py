import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_llmrec.generation import ItemTrie
from hf_llmrec.generation.item_trie import ranked_items


@st.composite
def catalogues(draw):
    levels, size = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    strings = draw(st.lists(st.tuples(*[st.integers(0, size - 1)] * levels), min_size=1, max_size=30, unique=True))
    return np.array(strings)


def walk(trie: ItemTrie) -> dict[tuple[int, ...], int]:
    """Every path of the trie with the item at its end."""
    paths = [((), 0)]
    for level in range(trie.depth):
        child, codes, real = trie.children(level, torch.tensor([node for _, node in paths]))
        paths = [
            ((*path, int(codes[i, j])), int(child[i, j]))
            for i, (path, _) in enumerate(paths)
            for j in torch.nonzero(real[i]).flatten().tolist()
        ]
    return {path: int(trie.item_rows[node]) for path, node in paths}


@settings(max_examples=60)
@given(catalogues(), st.randoms(use_true_random=False))
def test_paths_are_the_catalogue(codes, random):
    rows = list(range(100, 100 + len(codes)))
    random.shuffle(rows)
    trie = ItemTrie.from_codes(codes, np.array(rows))
    assert walk(trie) == {tuple(item): row for item, row in zip(codes.tolist(), rows, strict=True)}
    assert trie.codes_of(torch.tensor(rows)).tolist() == codes.tolist()
    kept = sorted(random.sample(range(len(codes)), random.randint(1, len(codes))))
    part = trie.restrict(np.array([rows[i] for i in kept]))
    assert walk(part) == {tuple(codes[i].tolist()): rows[i] for i in kept}
    again = part.restrict(np.array([rows[kept[0]]]))
    assert walk(again) == {tuple(codes[kept[0]].tolist()): rows[kept[0]]}


@settings(max_examples=60)
@given(catalogues(), st.randoms(use_true_random=False))
def test_excluded_nodes_lead_to_excluded_items_only(codes, random):
    trie = ItemTrie.from_codes(codes)
    exclude = [np.array(random.choices(range(len(codes) + 3), k=random.randint(0, 20)), dtype=int) for _ in range(3)]
    keys = trie.excluded_nodes(exclude)
    for level, edges in enumerate(trie.levels):
        nodes = torch.arange(len(edges.codes)).expand(3, -1)
        below = [[set() for _ in range(len(edges.codes))] for _ in range(3)]
        for leaf, node in enumerate(edges.node_of_leaf.tolist()):
            for owner in range(3):
                below[owner][node].add(int(trie.item_rows[leaf]))
        expected = [[items <= set(exclude[owner].tolist()) for items in below[owner]] for owner in range(3)]
        assert trie.is_excluded(keys, level, nodes).tolist() == expected


def test_step_follows_and_dies():
    trie = ItemTrie.from_codes(np.array([[0, 1], [2, 0], [2, 3]]))
    nodes = trie.step(0, torch.tensor([0, 0, -1]), torch.tensor([2, 1, 0]))
    assert nodes.tolist() == [1, -1, -1]
    assert trie.item_rows[trie.step(1, torch.tensor([1]), torch.tensor([3]))].tolist() == [2]


def test_a_bad_catalogue_is_refused():
    with pytest.raises(ValueError, match="4 items share their index"):
        ItemTrie.from_codes(np.array([[0, 0], [0, 1], [1, 1], [0, 0], [2, 2], [0, 1]]))
    with pytest.raises(ValueError, match="at least one item"):
        ItemTrie.from_codes(np.zeros((0, 3), dtype=int))
    with pytest.raises(ValueError, match="integers"):
        ItemTrie.from_codes(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="item 1 has -2"):
        ItemTrie.from_codes(np.array([[0, 0], [1, -2]]))
    with pytest.raises(ValueError, match="different rows"):
        ItemTrie.from_codes(np.array([[0, 0], [1, 2]]), np.array([3, 3]))


def test_unknown_rows_are_refused():
    trie = ItemTrie.from_codes(np.array([[0, 0], [1, 2]]))
    with pytest.raises(ValueError, match="item row 7"):
        trie.restrict(np.array([0, 7]))
    with pytest.raises(ValueError, match="no item"):
        trie.restrict(np.array([], dtype=int))
    with pytest.raises(ValueError, match="item row -1"):
        trie.codes_of(torch.tensor([[0, -1]]))


def test_memory_is_linear_in_the_catalogue():
    def numbers(items):
        rng = np.random.default_rng(0)
        trie = ItemTrie.from_codes(
            np.stack([np.arange(items) // 256, np.arange(items) % 256, rng.integers(0, 9, items)], 1)
        )
        return sum(
            part.numel()
            for edges in trie.levels
            for part in (edges.first_child, edges.codes, edges.leaves, edges.node_of_leaf)
        )

    assert numbers(20_000) < 2.1 * numbers(10_000)


def test_equal_scores_are_in_item_order():
    trie = ItemTrie.from_codes(np.array([[3], [2], [1], [0]]))
    rows, scores = ranked_items(trie, torch.tensor([[0, 1, -1, 3]]), torch.tensor([[-1.0, -1.0, -9.0, -0.5]]), 4)
    assert rows.tolist() == [[0, 2, 3, -1]]
    assert scores.tolist() == [[-0.5, -1.0, -1.0, -torch.inf]]
