"""How index rows begin: in the scale of the text rows, near codes near, in tied and untied models."""

import dataclasses
import sys
import types

import numpy as np
import pytest
import torch
from transformers import GPT2Config, LlamaConfig, LlamaForCausalLM, LlamaModel
from transformers.models.gpt2 import GPT2LMHeadModel

from hf_llmrec.data.item_index import ItemIndex
from hf_llmrec.methods.lcrec.index_embeddings import index_directions, initialize_index_embeddings
from hf_llmrec.methods.lcrec.tokenization_lcrec import LCRecTokenizer

METHODS = ("codebook", "mean_noise")


def llama(rows: int, *, tied: bool = True, kind=LlamaForCausalLM, width: int = 64, seed: int = 0):
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=rows, hidden_size=width, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        tie_word_embeddings=tied, pad_token_id=None,
    )  # fmt: skip
    model = kind(config)
    with torch.no_grad():  # a pretrained model's rows have a mean and a spread of their own per dimension
        for module in (model.get_input_embeddings(), model.get_output_embeddings()):
            if module is not None:
                module.weight.copy_(torch.randn(rows, width) * torch.linspace(0.01, 0.1, width) + 0.3)
    return model


@pytest.fixture(scope="module")
def lcrec(tokenizers):
    return tokenizers["gpt2"]


def ids_of(tokenizer):
    return torch.from_numpy(np.concatenate(tokenizer.level_token_ids))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tied", [True, False])
def test_rows_have_the_scale_of_text_rows(lcrec, bases, method, tied):
    model = llama(len(bases["gpt2"]), tied=tied)
    before = [model.get_input_embeddings().weight.clone(), model.get_output_embeddings().weight.clone()]
    initialize_index_embeddings(model, lcrec, method=method, seed=1)
    modules = (model.get_input_embeddings(), model.get_output_embeddings())
    assert (modules[0].weight is modules[1].weight) == tied
    assert model.config.vocab_size == len(lcrec)
    for old, module in zip(before, modules, strict=True):
        assert module.weight.shape == (len(lcrec), 64)
        assert torch.equal(module.weight[: len(old)], old)
        rows = module.weight[ids_of(lcrec)]
        standard = (rows - old.mean(0)) / old.std(0)
        assert abs(standard.mean()) < 0.1 and 0.8 < standard.pow(2).mean().sqrt() < 1.2
        assert torch.pdist(rows).min() > 0.1 * old.std(0).norm()
        pad = (module.weight[lcrec.pad_token_id] - old.mean(0)) / old.std(0)
        assert 0.6 < pad.pow(2).mean().sqrt() < 1.4


def test_near_codewords_start_near(bases, lcrec):
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((4, 24))
    book = np.concatenate([centres, centres + 0.05 * rng.standard_normal((4, 24))]).astype(np.float32)
    near = ItemIndex(["x"], [[0, 0]], (8, 8), [book, book])
    tokenizer = LCRecTokenizer.from_base(bases["gpt2"], near)
    for width in (64, 16):  # wider and narrower than the codewords
        rows = index_directions(tokenizer, width, "codebook", seed=0)
        assert abs(np.mean(rows**2) - 1) < 0.15
        distance = np.linalg.norm(rows[:8, None] - rows[None, :8], axis=-1)
        np.fill_diagonal(distance, np.inf)
        assert distance.argmin(axis=1).tolist() == [4, 5, 6, 7, 0, 1, 2, 3]
        # One projection for all levels, so that what an item's rows add up to has a meaning.
        assert np.corrcoef(rows[:8].ravel(), rows[8:].ravel())[0, 1] > 0.85
        # The variance lies on all columns, not on the first principal ones.
        assert (rows**2).mean(axis=0).max() < 6
    noise = index_directions(tokenizer, 64, "mean_noise", seed=0)
    assert abs(np.corrcoef(noise[0], noise[4])[0, 1]) < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_seed_and_repetition(lcrec, bases, method):
    first, second, third = (llama(len(bases["gpt2"])) for _ in range(3))
    initialize_index_embeddings(first, lcrec, method=method, seed=5)
    rows = first.get_input_embeddings().weight.clone()
    initialize_index_embeddings(first, lcrec, method=method, seed=5)
    assert torch.equal(first.get_input_embeddings().weight[ids_of(lcrec)], rows[ids_of(lcrec)])
    torch.manual_seed(99)
    initialize_index_embeddings(second, lcrec, method=method, seed=5)
    assert torch.equal(second.get_input_embeddings().weight, rows)
    initialize_index_embeddings(third, lcrec, method=method, seed=6)
    assert not torch.allclose(third.get_input_embeddings().weight[ids_of(lcrec)], rows[ids_of(lcrec)])


def test_padded_matrices_are_not_shrunk_and_do_not_count(lcrec):
    model = llama(1000)
    with torch.no_grad():
        model.get_input_embeddings().weight[len(lcrec) :] = 1e3  # rows that no token has
    untouched = model.get_input_embeddings().weight[len(lcrec) :].clone()
    initialize_index_embeddings(model, lcrec)
    weight = model.get_input_embeddings().weight
    assert weight.shape[0] == 1000 and torch.equal(weight[len(lcrec) :], untouched)
    assert weight[ids_of(lcrec)].abs().max() < 2


def test_other_models_and_dtypes(lcrec, bases):
    base_model = llama(len(bases["gpt2"]), kind=LlamaModel)
    initialize_index_embeddings(base_model, lcrec)
    assert base_model.get_input_embeddings().weight.shape[0] == len(lcrec)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(lcrec), n_embd=32, n_layer=1, n_head=2)).bfloat16()
    initialize_index_embeddings(model, lcrec)
    assert model.lm_head.weight is model.transformer.wte.weight and model.lm_head.weight.dtype == torch.bfloat16
    assert model(torch.tensor([lcrec.item_token_ids[0].tolist()])).logits.isfinite().all()


def test_levels_without_direction(bases):
    flat = ItemIndex(["x"], [[0, 0]], (1, 3), [np.ones((1, 4), np.float32), np.ones((3, 4), np.float32)])
    rows = index_directions(LCRecTokenizer.from_base(bases["gpt2"], flat), 32, "codebook", seed=0)
    assert np.isfinite(rows).all() and 0.5 < np.mean(rows**2) < 1.5 and len(np.unique(rows, axis=0)) == 4


def test_errors(lcrec, bases, index):
    model = llama(len(bases["gpt2"]))
    with pytest.raises(ValueError, match="index_init must be one of"):
        initialize_index_embeddings(model, lcrec, method="zeros")
    bare = LCRecTokenizer.from_base(bases["gpt2"], dataclasses.replace(index, codebooks=None))
    with pytest.raises(ValueError, match="needs the codewords"):
        initialize_index_embeddings(model, bare, method="codebook")
    broken = dataclasses.replace(index, codebooks=[book * np.float32(np.nan) for book in index.codebooks])
    with pytest.raises(ValueError, match="codewords of level 0 are not finite"):
        initialize_index_embeddings(model, LCRecTokenizer.from_base(bases["gpt2"], broken), method="codebook")


def test_an_index_larger_than_the_rows_is_an_error(lcrec, bases, monkeypatch):
    model = llama(len(bases["gpt2"]))
    monkeypatch.setattr(model, "resize_token_embeddings", lambda *args, **kwargs: None)
    with pytest.raises(ValueError, match=r"input embeddings have 438 rows, the tokenizer has 461 tokens"):
        initialize_index_embeddings(model, lcrec)


def test_partitioned_weights_are_gathered(lcrec, bases, monkeypatch):
    """Under ZeRO-3 every access to rows happens inside DeepSpeed's gathering context."""
    gathered = []

    class Gathered:
        def __init__(self, parameters, modifier_rank):
            gathered.append((parameters[0], modifier_rank))

        def __enter__(self): ...

        def __exit__(self, *error): ...

    deepspeed = types.SimpleNamespace(zero=types.SimpleNamespace(GatheredParameters=Gathered))
    monkeypatch.setitem(sys.modules, "deepspeed", deepspeed)
    monkeypatch.setattr("hf_llmrec.training.gathered_weight.is_deepspeed_zero3_enabled", lambda: True)
    model = llama(len(lcrec), tied=False)
    initialize_index_embeddings(model, lcrec)
    weights = [model.get_input_embeddings().weight] * 2 + [model.get_output_embeddings().weight]
    assert [(id(w), r) for w, r in gathered] == [(id(w), 0) for w in weights]
