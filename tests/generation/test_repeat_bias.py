"""A number added to the items that the prompt names, and scores added to a few items per prompt."""

import numpy as np
import pytest
import torch

from hf_llmrec.generation import recommend_items, score_items
from hf_llmrec.generation.item_bonus import ItemBonus
from hf_llmrec.generation.prompt_items import items_in_prompts
from hf_llmrec.generation.sparse_item_bonus import SparseItemBonus

CLOSE = {"rtol": 2e-5, "atol": 2e-5}


def with_items(shop, named):
    """Prompts that name items: a text token, the items' tokens, and text between the first two."""
    length = 1 + 1 + 3 * max(len(items) for items in named)
    used = {int(token) for ids in shop.token_ids for token in ids}
    text = next(token for token in range(97) if token not in used)
    ids = torch.full((len(named), length), int(shop.token_ids[0][0]))  # padding that is a token of an index
    mask = torch.zeros_like(ids)
    for row, items in enumerate(named):
        words = [text]
        for number, item in enumerate(items):
            words += [int(shop.token_ids[level][code]) for level, code in enumerate(shop.codes[item])]
            words += [text] if number == 0 else []
        ids[row, length - len(words) :] = torch.tensor(words)
        mask[row, length - len(words) :] = 1
    shop.input_ids, shop.mask = ids, mask
    return shop


NAMED = [[3, 7, 3], [], [11], [0, 1, 2, 29]]


def test_items_of_a_prompt_are_found(make_shop):
    shop = with_items(make_shop(30), NAMED)
    prompts, leaves = items_in_prompts(shop.input_ids, shop.mask, shop.trie, shop.token_ids)
    found = sorted(zip(prompts.tolist(), shop.trie.item_rows[leaves].tolist(), strict=True))
    assert found == [(row, item) for row, items in enumerate(NAMED) for item in sorted(set(items))]


def test_codes_that_name_no_item_are_skipped(make_shop):
    shop = with_items(make_shop(30), NAMED)
    left = shop.trie.restrict(np.array([7, 29]))
    prompts, leaves = items_in_prompts(shop.input_ids, shop.mask, left, shop.token_ids)
    assert list(zip(prompts.tolist(), left.item_rows[leaves].tolist(), strict=True)) == [(0, 7), (3, 29)]
    short = items_in_prompts(shop.input_ids[:, :2], shop.mask[:, :2], shop.trie, shop.token_ids)
    assert [len(each) for each in short] == [0, 0]


@pytest.mark.parametrize("name", ["llama", "mistral-window"])  # with the tree of beams, and by `generate`
@pytest.mark.parametrize("normalize", ["vocab", "level", "children"])
@pytest.mark.parametrize("bias", [4.0, -4.0])
def test_all_beams_rank_by_score_plus_bias(make_model, make_shop, name, normalize, bias):
    model, shop = make_model(name), with_items(make_shop(30), NAMED)
    every = torch.arange(30).expand(len(NAMED), -1)
    expected = score_items(model, *shop.args, every, normalize=normalize)
    for row, items in enumerate(NAMED):
        expected[row, sorted(set(items))] += bias
    scored = score_items(model, *shop.args, every, normalize=normalize, repeat_bias=bias)
    torch.testing.assert_close(scored, expected, **CLOSE)
    rows, scores = recommend_items(model, *shop.args, num_beams=30, k=20, normalize=normalize, repeat_bias=bias)
    values, order = expected.sort(dim=1, descending=True)
    assert rows.tolist() == order[:, :20].tolist()
    torch.testing.assert_close(scores.double(), values[:, :20].double(), **CLOSE)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_single_beam_returns_to_an_item(make_model, make_shop, beams):
    model, shop = make_model("llama"), with_items(make_shop(60), NAMED)
    every = torch.arange(60).expand(len(NAMED), -1)
    likes = score_items(model, *shop.args, every)
    rows, _ = recommend_items(model, *shop.args, num_beams=beams, k=beams, repeat_bias=100.0)
    plain, _ = recommend_items(model, *shop.args, num_beams=beams, k=beams)
    for row, items in enumerate(NAMED):
        if items:
            assert rows[row, 0] == max(set(items), key=lambda item: float(likes[row, item]))
        else:
            assert rows[row].tolist() == plain[row].tolist()
    away, _ = recommend_items(model, *shop.args, num_beams=56, k=56, repeat_bias=-100.0)
    assert all(not set(items) & set(away[row].tolist()) for row, items in enumerate(NAMED))


def sparse_of(dense):
    return dense.to_sparse_coo()


@pytest.mark.parametrize("exclude", [None, [[5, 6], [], list(range(40)), [1]]])
@pytest.mark.parametrize("signs", ["both", "negative"])
def test_a_sparse_bonus_is_the_dense_one(make_shop, exclude, signs):
    shop = make_shop(40)
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn(4, 40, generator=generator, dtype=torch.float64)
    dense = -dense.abs() if signs == "negative" else dense
    dense = dense * (torch.rand(4, 40, generator=generator) < (0.9 if signs == "negative" else 0.2))
    exclude = None if exclude is None else [np.array(items, dtype=np.int64) for items in exclude]
    owners, rows = dense.nonzero(as_tuple=True)
    halves = dense[owners, rows] / 2  # given twice: added up
    pairs = torch.cat([owners, owners]), shop.trie.find_leaves(torch.cat([rows, rows])), torch.cat([halves, halves])
    one, other = ItemBonus(shop.trie, dense, exclude), SparseItemBonus(shop.trie, *pairs, 4, exclude)
    chosen = torch.tensor([2, 0, 3])
    for first, second, count in ((one, other, 4), (one.take(chosen), other.take(chosen), 3)):
        assert first.at_root.tolist() == second.at_root.tolist()
        for level in range(-1, shop.trie.depth):
            size = 1 if level < 0 else len(shop.trie.levels[level].codes)
            nodes = torch.arange(size).expand(count, -1)
            assert first.best_below(level, nodes).tolist() == second.best_below(level, nodes).tolist()


def test_sparse_and_dense_bonus_with_a_bias(make_model, make_shop):
    model, shop = make_model("llama"), with_items(make_shop(40), NAMED)
    dense = torch.zeros(4, 45, dtype=torch.float64)  # more rows than the trie has
    dense[0, 3], dense[1, 39], dense[2, 44] = 2.0, -3.0, 9.0
    options = {"num_beams": 4, "k": 4, "repeat_bias": 1.5, "exclude": [np.array([7])] * 4}
    one = recommend_items(model, *shop.args, item_bonus=dense, **options)
    other = recommend_items(model, *shop.args, item_bonus=sparse_of(dense), **options)
    assert one[0].tolist() == other[0].tolist() and one[1].tolist() == other[1].tolist()
    every = torch.arange(40).expand(4, -1)
    scores = [
        score_items(model, *shop.args, every, item_bonus=bonus, repeat_bias=1.5) for bonus in (dense, sparse_of(dense))
    ]
    assert scores[0].tolist() == scores[1].tolist()
    plain = score_items(model, *shop.args, every)
    assert float(scores[0][0, 3] - plain[0, 3]) == pytest.approx(3.5)
    assert float(scores[0][1, 39] - plain[1, 39]) == pytest.approx(-3)


def test_what_is_not_finite_is_refused(make_model, make_shop):
    model, shop = make_model("llama"), make_shop(10)
    wrong = torch.sparse_coo_tensor([[0], [1]], [float("nan")], (4, 10))
    with pytest.raises(ValueError, match="item_bonus has values that are not finite"):
        recommend_items(model, *shop.args, num_beams=3, k=3, item_bonus=wrong)
    with pytest.raises(ValueError, match="repeat_bias must be finite, got inf"):
        recommend_items(model, *shop.args, num_beams=3, k=3, repeat_bias=float("inf"))
