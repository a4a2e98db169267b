"""Scores added to items during the search: exact when all beams live, kept alive by bounds when few do."""

import numpy as np
import pytest
import torch

from hf_llmrec.generation import recommend_items, score_items
from hf_llmrec.generation.fallback import search_by_generate
from hf_llmrec.generation.item_bonus import ItemBonus
from hf_llmrec.generation.item_trie import ranked_items

CLOSE = {"rtol": 2e-5, "atol": 2e-5}


def bonuses(shop, scale=3.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(len(shop.input_ids), len(shop.codes), generator=generator, dtype=torch.float64)


def test_bounds_are_the_largest_bonus_below_each_node(make_shop):
    shop = make_shop(40)
    values = bonuses(shop)
    bonus = ItemBonus(shop.trie, values)
    assert bonus.at_root.tolist() == values.max(1).values.tolist()
    for level, edges in enumerate(shop.trie.levels):
        for node in range(len(edges.codes)):
            below = shop.trie.item_rows[edges.node_of_leaf == node]
            nodes = torch.full((len(values), 1), node)
            assert bonus.best_below(level, nodes)[:, 0].tolist() == values[:, below].max(1).values.tolist()
    part = bonus.take(torch.tensor([2, 0]))
    assert part.at_root.tolist() == bonus.at_root[[2, 0]].tolist()
    assert part.by_level[0].tolist() == bonus.by_level[0][[2, 0]].tolist()


@pytest.mark.parametrize("name", ["llama", "mistral-window"])  # with the tree of beams, and by `generate`
@pytest.mark.parametrize("normalize", ["vocab", "level", "children"])
def test_all_beams_rank_by_score_plus_bonus(make_model, make_shop, name, normalize):
    model, shop = make_model(name), make_shop(30)
    bonus = bonuses(shop)
    exclude = [np.arange(5 * row, 5 * row + row) for row in range(len(shop.input_ids))]
    every = torch.arange(30).expand(len(bonus), -1)
    expected = score_items(model, *shop.args, every, normalize=normalize) + bonus
    for row, items in enumerate(exclude):
        expected[row, items] = -torch.inf
    rows, scores = recommend_items(
        model, *shop.args, num_beams=30, k=20, normalize=normalize, exclude=exclude, item_bonus=bonus
    )
    values, order = expected.sort(dim=1, descending=True)
    assert rows.tolist() == order[:, :20].tolist()
    torch.testing.assert_close(scores.double(), values[:, :20], **CLOSE)


@pytest.mark.parametrize("name", ["llama", "mistral-window"])
@pytest.mark.parametrize("beams", [1, 2, 5])
def test_few_beams_find_an_item_with_a_high_bonus(make_model, make_shop, name, beams):
    """Also the item that the model likes least, whose prefix the search without bonus drops at once."""
    model, shop = make_model(name), make_shop(60)
    every = torch.arange(60).expand(len(shop.input_ids), -1)
    scores = score_items(model, *shop.args, every)
    least = scores.argmin(1)
    plain, _ = recommend_items(model, *shop.args, num_beams=beams, k=beams)
    assert not (plain == least.unsqueeze(1)).any()
    bonus = torch.zeros(len(scores), 60, dtype=torch.float64)
    bonus.scatter_(1, least.unsqueeze(1), 100.0)
    rows, values = recommend_items(model, *shop.args, num_beams=beams, k=beams, item_bonus=bonus)
    assert rows[:, 0].tolist() == least.tolist()
    torch.testing.assert_close(values[:, 0].double(), scores.gather(1, least.unsqueeze(1))[:, 0] + 100, **CLOSE)
    # Excluded, it keeps no prefix alive: the search is that without a bonus of items that may be returned.
    exclude = [items.numpy() for items in least.unsqueeze(1)]
    with_bonus = recommend_items(model, *shop.args, num_beams=beams, k=beams, exclude=exclude, item_bonus=bonus)
    without = recommend_items(model, *shop.args, num_beams=beams, k=beams, exclude=exclude)
    assert with_bonus[0].tolist() == without[0].tolist()
    torch.testing.assert_close(with_bonus[1], without[1], **CLOSE)


def test_both_ways_agree_with_few_beams(make_model, make_shop):
    model, shop = make_model("llama"), make_shop(40)
    bonus = bonuses(shop)
    exclude = [np.arange(row) for row in range(len(bonus))]
    tree = recommend_items(model, *shop.args, num_beams=6, k=6, item_bonus=bonus, exclude=exclude)
    bounds = ItemBonus(shop.trie, bonus, exclude)
    leaves, scores = search_by_generate(model, *shop.args, 6, "level", exclude=exclude, bonus=bounds)
    plain = ranked_items(shop.trie, leaves, scores, 6)
    assert tree[0].tolist() == plain[0].tolist()
    torch.testing.assert_close(tree[1], plain[1], **CLOSE)


def test_no_bonus_is_the_search_without_one(make_model, make_shop):
    model, shop = make_model("llama"), make_shop(40)
    plain = recommend_items(model, *shop.args, num_beams=6, k=6)
    zeros = recommend_items(model, *shop.args, num_beams=6, k=6, item_bonus=torch.zeros(len(shop.input_ids), 40))
    assert plain[0].tolist() == zeros[0].tolist() and plain[1].tolist() == zeros[1].tolist()


def test_a_bonus_that_does_not_fit_is_refused(make_model, make_shop):
    model, shop = make_model("llama"), make_shop(10)
    count = len(shop.input_ids)
    for wrong, message in (
        (torch.zeros(count, 9), r"item_bonus must be float \(batch, 10 or more\), got"),
        (torch.zeros(count - 1, 10), f"item_bonus has {count - 1} rows for {count} prompts"),
        (torch.full((count, 10), torch.nan), "item_bonus has values that are not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            recommend_items(model, *shop.args, num_beams=3, k=3, item_bonus=wrong)
