import logging

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch import nn

from hf_llmrec.generation import ItemTrie, recommend_items, score_items
from hf_llmrec.generation.beam_search import obstacle_to_tree
from hf_llmrec.generation.beam_tree import projects_itself, tree_obstacle

TREE = ["llama", "qwen3", "gpt2", "mistral", "gemma", "gemma2", "gemma3"]
WINDOWED = ["mistral-window", "gemma2-window", "gemma3-window"]
# In float64 models, too, `generate` adds up scores in float32, and transformers keeps norms and softmax in float32.
FLOAT32 = {"rtol": 2e-5, "atol": 2e-5}


def assert_same_as_reference(rows, scores, reference):
    for row, values, expected in zip(rows.tolist(), scores.tolist(), reference, strict=True):
        count = len(expected)
        assert row == [item for item, _ in expected] + [-1] * (len(row) - count)
        np.testing.assert_allclose(values[:count], [value for _, value in expected], **FLOAT32)
        assert values[count:] == [-np.inf] * (len(row) - count)


@pytest.mark.parametrize("name", TREE + WINDOWED)
@pytest.mark.parametrize("items, beams", [(60, 7), (5, 9)])
def test_same_items_order_and_scores_as_generate(make_model, make_shop, generate_reference, name, items, beams):
    model, shop = make_model(name), make_shop(items)
    assert obstacle_to_tree(model, shop.input_ids.shape[1] + 3) == (name in WINDOWED)
    rows, scores = recommend_items(model, *shop.args, num_beams=beams, k=beams, normalize="vocab")
    assert (rows.dtype, scores.dtype) == (torch.int64, torch.float64)
    assert_same_as_reference(rows, scores, generate_reference(model, shop, beams))


@pytest.mark.parametrize("name", TREE + WINDOWED)
@pytest.mark.parametrize("normalize", ["vocab", "level", "children"])
def test_all_beams_is_exhaustive_scoring(make_model, make_shop, exhaustive_reference, name, normalize):
    model, shop = make_model(name), make_shop(12, size=4, lengths=(9, 3))
    expected = exhaustive_reference(model, shop, normalize)
    rows, scores = recommend_items(model, *shop.args, num_beams=15, k=14, normalize=normalize)
    values, order = expected.sort(dim=1, descending=True)
    assert rows[:, :12].tolist() == order.tolist() and (rows[:, 12:] == -1).all()
    torch.testing.assert_close(scores[:, :12], values, **FLOAT32)
    every = torch.arange(12).expand(2, -1)
    scored = score_items(model, *shop.args, every, normalize=normalize)
    torch.testing.assert_close(scored, expected, **FLOAT32)


@pytest.mark.parametrize("normalize", ["level", "children"])
def test_children_of_probability_one_make_a_distribution(make_model, make_shop, normalize):
    model, shop = make_model("llama"), make_shop(30)
    _, scores = recommend_items(model, *shop.args, num_beams=30, k=30, normalize=normalize)
    total = scores.exp().sum(1)
    assert torch.allclose(total, torch.ones_like(total)) if normalize == "children" else (total < 1).all()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype, atol", [(torch.float32, 1e-4), (torch.bfloat16, 0.3)])
def test_other_kernels_and_dtypes(make_model, make_shop, attention, dtype, atol):
    shop = make_shop()
    expected = score_items(make_model("qwen3"), *shop.args, torch.arange(40).expand(4, -1))
    model = make_model("qwen3", dtype, attention)
    rows, scores = recommend_items(model, *shop.args, num_beams=40, k=40)
    assert scores.dtype == torch.float32 and not obstacle_to_tree(model, 20)
    torch.testing.assert_close(scores.double(), expected.gather(1, rows), rtol=0, atol=atol)


@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral-window"])
def test_a_prompt_does_not_depend_on_its_batch(make_model, make_shop, name):
    model, shop = make_model(name), make_shop()
    rows, scores = recommend_items(model, *shop.args, num_beams=8, k=8)
    for row, mask in enumerate(shop.mask.bool()):
        ids = shop.input_ids[row][mask].unsqueeze(0)
        alone = recommend_items(model, ids, torch.ones_like(ids), shop.trie, shop.token_ids, num_beams=8, k=8)
        assert alone[0].tolist() == [rows[row].tolist()]
        torch.testing.assert_close(alone[1][0], scores[row], **FLOAT32)


@pytest.mark.parametrize("name", ["llama", "gemma2-window"])
@pytest.mark.parametrize("levels", [1, 2])
def test_catalogue_of_one_item(make_model, make_shop, name, levels):
    shop = make_shop(1, levels=levels)
    rows, scores = recommend_items(make_model(name), *shop.args, num_beams=5, k=3, normalize="children")
    assert rows.tolist() == [[0, -1, -1]] * 4
    assert scores[:, 0].abs().max() < 1e-6 and torch.isneginf(scores[:, 1:]).all()


@pytest.mark.parametrize("name", ["llama", "mistral-window"])
@pytest.mark.parametrize("normalize", ["vocab", "level", "children"])
def test_excluded_items_leave_a_gap_that_others_fill(make_model, make_shop, name, normalize):
    model, shop = make_model(name), make_shop(40)
    every, scores = recommend_items(model, *shop.args, num_beams=40, k=40, normalize=normalize)
    # A whole first-level branch, the best items, nothing, and all but two.
    branch = np.flatnonzero(shop.codes[:, 0] == shop.codes[int(every[0, 0]), 0])
    exclude = [branch, every[1, :5].numpy(), np.array([], dtype=int), every[3, 2:].numpy()]
    rows, found = recommend_items(model, *shop.args, num_beams=40, k=40, normalize=normalize, exclude=exclude)
    for row in range(4):
        kept = ~np.isin(every[row].numpy(), exclude[row])
        count = int(kept.sum())
        assert rows[row, :count].tolist() == every[row].numpy()[kept].tolist() and (rows[row, count:] == -1).all()
        torch.testing.assert_close(found[row, :count], scores[row][torch.from_numpy(kept)], **FLOAT32)
    narrow, _ = recommend_items(model, *shop.args, num_beams=6, k=6, normalize=normalize, exclude=exclude)
    assert ((narrow >= 0).sum(1) == torch.tensor([6, 6, 6, 2])).all()
    assert not any(np.isin(narrow[row].numpy(), exclude[row]).any() for row in range(4))


def test_everything_excluded_gives_nothing(make_model, make_shop):
    for name in ("llama", "mistral-window"):
        shop = make_shop(10)
        exclude = [np.arange(10), np.arange(9), np.arange(12), np.array([3])]
        rows, scores = recommend_items(make_model(name), *shop.args, num_beams=10, k=10, exclude=exclude)
        assert ((rows >= 0).sum(1) == torch.tensor([0, 1, 0, 9])).all() and int(rows[1, 0]) == 9
        assert torch.equal(torch.isneginf(scores), rows < 0)


@pytest.mark.parametrize("name", ["llama", "gemma2-window"])
def test_allowed_items_only(make_model, make_shop, name):
    model, shop = make_model(name), make_shop(40)
    allowed = np.array([31, 2, 17, 5, 2])
    rows, scores = recommend_items(model, *shop.args, num_beams=6, k=6, allowed=allowed)
    assert [sorted(row) for row in rows[:, :4].tolist()] == [[2, 5, 17, 31]] * 4 and (rows[:, 4:] == -1).all()
    expected = score_items(model, *shop.args, rows[:, :4])
    torch.testing.assert_close(scores[:, :4], expected, **FLOAT32)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["llama", "gpt2", "mistral-window"]),
    items=st.integers(1, 30),
    levels=st.integers(2, 4),
    beams=st.integers(1, 12),
    seed=st.integers(0, 1000),
    normalize=st.sampled_from(["vocab", "level", "children"]),
    excluded=st.lists(st.lists(st.integers(0, 29), max_size=30), min_size=4, max_size=4),
)
def test_every_item_is_real_and_none_comes_twice(
    make_model, make_shop, name, items, levels, beams, seed, normalize, excluded
):
    model, shop = make_model(name), make_shop(items, levels, size=6, seed=seed)
    exclude = [np.array(rows, dtype=int) for rows in excluded]
    rows, scores = recommend_items(model, *shop.args, num_beams=beams, k=beams, normalize=normalize, exclude=exclude)
    for row, values, barred in zip(rows.tolist(), scores.tolist(), excluded, strict=True):
        real = [item for item in row if item >= 0]
        assert row == real + [-1] * (beams - len(real))
        assert len(set(real)) == len(real) and all(item < items and item not in barred for item in real)
        assert len(real) == min(beams, items - len({item for item in barred if item < items}))
        assert values == sorted(values, reverse=True) and [value == -np.inf for value in values] == [i < 0 for i in row]
    shown = score_items(model, *shop.args, rows, normalize=normalize)
    torch.testing.assert_close(scores, shown, **FLOAT32)


def test_score_items_padding_and_many_items(make_model, make_shop, monkeypatch):
    model, shop = make_model("qwen3"), make_shop(40)
    rows = torch.arange(40).expand(4, -1)
    at_once = score_items(model, *shop.args, rows)
    monkeypatch.setattr("hf_llmrec.generation.beam_search.ITEMS_AT_ONCE", 7)
    torch.testing.assert_close(score_items(model, *shop.args, rows), at_once, **FLOAT32)
    padded = score_items(model, *shop.args, torch.tensor([[3, -1, 3]] * 4))
    assert torch.isneginf(padded[:, 1]).all()
    torch.testing.assert_close(padded[:, [0, 2]], at_once[:, [3, 3]], **FLOAT32)
    assert score_items(model, *shop.args, torch.empty(4, 0, dtype=torch.long)).shape == (4, 0)


def test_equal_scores_have_one_order(make_model, make_shop):
    model, shop = make_model("llama"), make_shop(40)
    model.get_output_embeddings().weight.data.zero_()
    rows, scores = recommend_items(model, *shop.args, num_beams=40, k=40)
    assert rows.tolist() == [list(range(40))] * 4 and len(scores.unique()) == 1


def test_dropout_is_off_and_comes_back(make_model, make_shop):
    model, shop = make_model("gpt2"), make_shop()
    expected = recommend_items(model, *shop.args)
    model.train()
    model.transformer.h[0].eval()
    rows, scores = recommend_items(model, *shop.args)
    assert torch.equal(rows, expected[0]) and torch.equal(scores, expected[1])
    assert model.training and not model.transformer.h[0].training


class Scaled(nn.Linear):
    """A head that is more than a linear layer."""

    def forward(self, hidden):
        return super().forward(hidden) * 3


def test_unusual_head_goes_through_the_whole_forward(make_model, make_shop, exhaustive_reference, caplog):
    model, shop = make_model("llama"), make_shop(12, size=4, lengths=(9, 3))
    plain = exhaustive_reference(model, shop, "level")
    model.lm_head.__class__ = Scaled
    expected = exhaustive_reference(model, shop, "level")
    assert (plain - expected).abs().max() > 0.1
    with caplog.at_level(logging.INFO):
        scores = score_items(model, *shop.args, torch.arange(12).expand(2, -1))
    assert "not a plain linear layer" in caplog.text
    torch.testing.assert_close(scores, expected, **FLOAT32)


def test_rounding_of_autocast_does_not_make_a_head_unusual(make_model):
    """float32 weights under bf16 autocast round as bf16 does; what was measured without it does not count there."""
    for seed in range(20):
        torch.manual_seed(seed)
        model = make_model("llama").float()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        with torch.autocast("cpu", torch.bfloat16):
            assert tree_obstacle(model, 10) is None and not projects_itself(model)
        model.lm_head.__class__ = Scaled
        with torch.autocast("cpu", torch.bfloat16):
            assert projects_itself(model)


def test_head_bias_counts(make_model, make_shop, exhaustive_reference):
    model, shop = make_model("llama"), make_shop(12, size=4, lengths=(9, 3))
    model.lm_head.bias = nn.Parameter(torch.randn(97, dtype=torch.float64))
    scores = score_items(model, *shop.args, torch.arange(12).expand(2, -1))
    torch.testing.assert_close(scores, exhaustive_reference(model, shop, "level"), **FLOAT32)


@pytest.mark.parametrize("modules", [["q_proj", "v_proj"], ["q_proj", "lm_head"]])
def test_adapters_count(make_model, make_shop, exhaustive_reference, modules):
    shop = make_shop(12, size=4, lengths=(9, 3))
    config = LoraConfig(r=2, target_modules=modules, init_lora_weights=False, task_type="CAUSAL_LM")
    model = get_peft_model(make_model("llama"), config).double().eval()
    expected = exhaustive_reference(model, shop, "level")
    assert (expected - exhaustive_reference(make_model("llama"), shop, "level")).abs().max() > 1e-3
    rows, scores = recommend_items(model, *shop.args, num_beams=12, k=12)
    torch.testing.assert_close(scores, expected.gather(1, rows), **FLOAT32)


def test_arguments_that_do_not_fit(make_model, make_shop):
    model, shop = make_model("llama"), make_shop()
    ids, mask, trie, tokens = shop.args
    cases = [
        ("normalize must be", (ids, mask, trie, tokens), {"normalize": "none"}),
        ("at least k", (ids, mask, trie, tokens), {"num_beams": 3, "k": 4}),
        ("2 levels, the trie 3", (ids, mask, trie, tokens[:2]), {}),
        ("level 1 of the trie uses 6 codes", (ids, mask, trie, [tokens[0], tokens[1][:3], tokens[2]]), {}),
        ("left-padded", (ids, mask.flip(1), trie, tokens), {}),
        ("must both be", (ids, mask[:, 1:], trie, tokens), {}),
        ("exclude has 1", (ids, mask, trie, tokens), {"exclude": [np.array([1])]}),
        ("item row 99", (ids, mask, trie, tokens), {"allowed": np.array([99])}),
    ]
    for message, args, options in cases:
        with pytest.raises(ValueError, match=message):
            recommend_items(model, *args, **options)
    with pytest.raises(ValueError, match="item row 40"):
        score_items(model, *shop.args, torch.full((4, 1), 40))
    with pytest.raises(ValueError, match="item_rows must be"):
        score_items(model, *shop.args, torch.zeros(3, 1, dtype=torch.long))
    assert isinstance(trie, ItemTrie)
