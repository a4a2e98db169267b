"""The tree of beams against transformers' own beam search, and against exhaustive scoring."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from hf_llmrec.generation.beam_search import recommend_items, score_items
from hf_llmrec.generation.fallback import recommend_by_generate, tree_obstacle
from hf_llmrec.generation.item_trie import ItemTrie

SIZES = dict(vocab_size=50, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
WIDTHS = dict(hidden_size=32, intermediate_size=48, bos_token_id=1, eos_token_id=None, pad_token_id=0)
COMMON = {**SIZES, **WIDTHS}
# Codes of a level need not lie side by side, nor in order.
LEVEL_IDS = [torch.arange(20, 26), torch.arange(26, 32), torch.tensor([35, 33, 40, 41, 36, 38])]
MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**COMMON)),
    "llama-eager": lambda: LlamaForCausalLM._from_config(LlamaConfig(**COMMON), attn_implementation="eager"),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(head_dim=8, **COMMON)),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=None)
    ),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**COMMON)),
    "mistral-window": lambda: MistralForCausalLM(MistralConfig(sliding_window=4, **COMMON)),
    "gemma": lambda: GemmaForCausalLM(GemmaConfig(head_dim=8, **COMMON)),
    "gemma2-window": lambda: Gemma2ForCausalLM(Gemma2Config(head_dim=8, sliding_window=4, **COMMON)),
}


def build(name: str):
    torch.manual_seed(0)
    model = MODELS[name]().double().eval()
    for parameter in model.parameters():  # sharp distributions, so that orders are not decided by rounding
        if parameter.ndim > 1:
            parameter.data.mul_(8.0)
    return model


@pytest.fixture(scope="module", params=sorted(MODELS))
def model(request):
    return build(request.param)


@pytest.fixture(scope="module")
def llama():
    return build("llama")


@pytest.fixture(scope="module")
def trie():
    rng = np.random.default_rng(0)
    codes = np.unique(rng.integers(0, 6, (60, 3)), axis=0)
    rng.shuffle(codes)
    return ItemTrie.from_codes(codes)


@pytest.fixture(scope="module")
def prompts():
    torch.manual_seed(1)
    input_ids, mask = torch.randint(3, 20, (4, 9)), torch.ones(4, 9, dtype=torch.long)
    for row, padding in enumerate([0, 3, 5, 8]):
        input_ids[row, :padding], mask[row, :padding] = 0, 0
    return input_ids, mask


def allowed_tokens(trie: ItemTrie, prompt_length: int):
    """`prefix_allowed_tokens_fn` from plain Python sets: an independent statement of what is valid."""
    codes = trie.codes_of(trie.item_rows).tolist()
    strings = {tuple(int(LEVEL_IDS[level][code]) for level, code in enumerate(row)) for row in codes}
    following: dict[tuple, set] = {}
    for string in strings:
        for level in range(len(string)):
            following.setdefault(string[:level], set()).add(string[level])
    return lambda batch, ids: sorted(following.get(tuple(ids[prompt_length:].tolist()), {0}))


@pytest.mark.parametrize("beams", [3, 8])
def test_same_items_order_and_scores_as_generate(model, trie, prompts, beams):
    input_ids, mask = prompts
    if model.config._attn_implementation == "eager":
        # Stock eager attention turns padded rows of float64 models into NaN (its softmax is float32): no padding here.
        input_ids, mask = input_ids.where(mask.bool(), 5), torch.ones_like(mask)
    rows, scores = recommend_items(
        model, input_ids, mask, trie, LEVEL_IDS, num_beams=beams, k=beams, normalize="vocab"
    )
    expected = model.generate(
        input_ids=input_ids,
        attention_mask=mask,
        num_beams=beams,
        num_return_sequences=beams,
        do_sample=False,
        max_new_tokens=3,
        length_penalty=0.0,
        pad_token_id=0,
        prefix_allowed_tokens_fn=allowed_tokens(trie, input_ids.shape[1]),
        return_dict_in_generate=True,
        output_scores=True,
    )
    code_of = [{int(token): code for code, token in enumerate(ids)} for ids in LEVEL_IDS]
    row_of = {tuple(c): int(r) for c, r in zip(trie.codes_of(trie.item_rows).tolist(), trie.item_rows, strict=True)}
    found = expected.sequences[:, input_ids.shape[1] :].tolist()
    items = [row_of[tuple(code_of[level][token] for level, token in enumerate(tokens))] for tokens in found]
    assert rows.flatten().tolist() == items
    # transformers adds its beam scores up in float32.
    torch.testing.assert_close(scores.flatten().float(), expected.sequences_scores.float(), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("normalize", ["vocab", "level", "children"])
def test_enough_beams_are_exhaustive_scoring(llama, trie, prompts, normalize):
    input_ids, mask = prompts
    count = trie.num_items
    rows, scores = recommend_items(
        llama, input_ids, mask, trie, LEVEL_IDS, num_beams=count, k=count, normalize=normalize
    )
    everything = torch.arange(count).expand(4, -1)
    codes = trie.codes_of(everything)
    for number in range(4):
        prompt = input_ids[number][mask[number].bool()]
        exhaustive = []
        for item in range(count):  # one plain forward per item, without padding, cache or mask
            tokens = torch.tensor([int(LEVEL_IDS[level][codes[number, item, level]]) for level in range(3)])
            logits = llama(input_ids=torch.cat([prompt, tokens])[None]).logits[0, len(prompt) - 1 :].detach()
            total, nodes = 0.0, torch.zeros(1, dtype=torch.long)
            for level in range(3):
                if normalize == "vocab":
                    space = torch.arange(50)
                elif normalize == "level":
                    space = LEVEL_IDS[level]
                else:
                    _, child_codes, real = trie.children(level, nodes)
                    space = LEVEL_IDS[level][child_codes[0][real[0]]]
                total += float(logits[level, tokens[level]] - logits[level, space].logsumexp(-1))
                nodes = trie.step(level, nodes, codes[number, item, level][None])
            exhaustive.append(total)
        order = np.argsort(-np.array(exhaustive), kind="stable")
        assert rows[number].tolist() == order.tolist()
        assert np.allclose(scores[number].numpy(), np.array(exhaustive)[order], atol=1e-9)
    again = score_items(llama, input_ids, mask, trie, LEVEL_IDS, rows, normalize=normalize)
    torch.testing.assert_close(again, scores, atol=1e-9, rtol=0)


@pytest.mark.parametrize("normalize", ["vocab", "level", "children"])
def test_the_fallback_gives_the_same(llama, trie, prompts, normalize):
    tree = recommend_items(llama, *prompts, trie, LEVEL_IDS, num_beams=7, k=5, normalize=normalize)
    exclude = [tree[0][row, :2].numpy() for row in range(4)]
    for barred in (None, exclude):
        tree = recommend_items(llama, *prompts, trie, LEVEL_IDS, num_beams=7, k=5, normalize=normalize, exclude=barred)
        plain = recommend_by_generate(llama, *prompts, trie, LEVEL_IDS, 7, 5, normalize, barred)
        assert tree[0].tolist() == plain[0].tolist()
        torch.testing.assert_close(tree[1], plain[1].double(), atol=2e-5, rtol=1e-5)


def test_a_short_window_falls_back_and_says_so(trie, prompts, caplog):
    model = build("mistral-window")
    assert "window (4)" in tree_obstacle(model, 12) and tree_obstacle(model, 4) is None
    from hf_llmrec.generation import beam_search

    beam_search._told.clear()
    with caplog.at_level(logging.WARNING):
        recommend_items(model, *prompts, trie, LEVEL_IDS, num_beams=3, k=3)
    assert "generate() instead" in caplog.text


def test_padding_and_batching_do_not_matter(llama, trie, prompts):
    input_ids, mask = prompts
    rows, scores = recommend_items(llama, input_ids, mask, trie, LEVEL_IDS, num_beams=8, k=8)
    for number in range(4):
        alone = input_ids[number][mask[number].bool()][None]
        one, value = recommend_items(llama, alone, torch.ones_like(alone), trie, LEVEL_IDS, num_beams=8, k=8)
        assert one[0].tolist() == rows[number].tolist()
        torch.testing.assert_close(value[0], scores[number], atol=1e-9, rtol=0)


def test_fewer_items_than_beams_and_a_single_item(llama, prompts):
    few = ItemTrie.from_codes(np.array([[0, 1, 2], [0, 1, 3], [5, 0, 0]]))
    rows, scores = recommend_items(llama, *prompts, few, LEVEL_IDS, num_beams=10, k=5)
    assert all(sorted(row[:3]) == [0, 1, 2] and row[3:] == [-1, -1] for row in rows.tolist())
    assert torch.isneginf(scores[:, 3:]).all() and torch.isfinite(scores[:, :3]).all()
    single = ItemTrie.from_codes(np.array([[4, 4, 4]]))
    rows, scores = recommend_items(llama, *prompts, single, LEVEL_IDS, num_beams=4, k=2, normalize="children")
    assert rows.tolist() == [[0, -1]] * 4 and scores[:, 0].abs().max() < 1e-12


def test_excluded_items_never_come_and_the_rest_keeps_its_scores(llama, trie, prompts):
    count = trie.num_items
    rows, scores = recommend_items(llama, *prompts, trie, LEVEL_IDS, num_beams=count, k=count)
    exclude = [rows[0, :4].numpy(), np.array([], dtype=int), np.arange(count), rows[3, ::2].numpy()]
    less, values = recommend_items(llama, *prompts, trie, LEVEL_IDS, num_beams=count, k=count, exclude=exclude)
    for number in range(4):
        kept = [(r, s) for r, s in zip(rows[number].tolist(), scores[number].tolist(), strict=True)]
        kept = [(r, s) for r, s in kept if r not in exclude[number]]
        assert less[number].tolist() == [r for r, _ in kept] + [-1] * (count - len(kept))
        assert np.allclose(values[number, : len(kept)], [s for _, s in kept])


def test_a_prefix_whose_items_are_all_excluded_takes_no_beam(llama, prompts):
    codes = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [2, 0, 0]])
    one = ItemTrie.from_codes(codes)
    best = recommend_items(llama, *prompts, one, LEVEL_IDS, num_beams=4, k=4)[0]
    # With a single beam, a search that keeps the barred prefix alive would end with nothing.
    rows, _ = recommend_items(llama, *prompts, one, LEVEL_IDS, num_beams=1, k=1, exclude=[best[i, :2].numpy() for i in range(4)])
    assert (rows >= 0).all()


def test_allowed_items_only(llama, trie, prompts):
    allowed = np.array([3, 8, 21, 30])
    rows, _ = recommend_items(llama, *prompts, trie, LEVEL_IDS, num_beams=20, k=6, allowed=allowed)
    assert all(sorted(row[:4]) == allowed.tolist() and row[4:] == [-1, -1] for row in rows.tolist())


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_every_result_is_real_and_none_comes_twice(data):
    seed, items = data.draw(st.integers(0, 999)), data.draw(st.integers(1, 40))
    rng = np.random.default_rng(seed)
    codes = np.unique(rng.integers(0, 6, (items, 3)), axis=0)
    names = rng.permutation(500)[: len(codes)]
    some = ItemTrie.from_codes(codes, names)
    beams = data.draw(st.integers(1, 12))
    k = data.draw(st.integers(1, beams))
    normalize = data.draw(st.sampled_from(["vocab", "level", "children"]))
    input_ids = torch.from_numpy(rng.integers(3, 20, (2, 5)))
    rows, scores = recommend_items(
        _SMALL, input_ids, torch.ones_like(input_ids), some, LEVEL_IDS, num_beams=beams, k=k, normalize=normalize
    )
    for row, values in zip(rows.tolist(), scores.tolist(), strict=True):
        real = [item for item in row if item >= 0]
        assert len(set(real)) == len(real) == min(k, len(codes)) and set(real) <= set(names.tolist())
        assert values == sorted(values, reverse=True)


_SMALL = build("llama")


def test_collisions_and_bad_options_are_errors(llama, trie, prompts):
    with pytest.raises(ValueError, match="1 items share"):
        ItemTrie.from_codes(np.array([[0, 1], [0, 1]]))
    with pytest.raises(ValueError, match="normalize"):
        recommend_items(llama, *prompts, trie, LEVEL_IDS, normalize="none")
    with pytest.raises(ValueError, match="num_beams"):
        recommend_items(llama, *prompts, trie, LEVEL_IDS, num_beams=3, k=4)
    with pytest.raises(ValueError, match="allowed"):
        recommend_items(llama, *prompts, trie, LEVEL_IDS, allowed=np.array([999]))
