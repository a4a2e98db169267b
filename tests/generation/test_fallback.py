import logging
from dataclasses import dataclass, fields

import pytest
import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Cache,
    LlamaForCausalLM,
    LlamaModel,
    MambaConfig,
    MambaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.utils import ModelOutput

from hf_llmrec.generation import recommend_items, score_items
from hf_llmrec.generation.beam_tree import tree_obstacle, uses_positions
from hf_llmrec.generation.fallback import search_by_generate
from hf_llmrec.generation.item_trie import ranked_items


@pytest.mark.parametrize("normalize", ["vocab", "level", "children"])
@pytest.mark.parametrize("beams", [1, 6, 50])
def test_both_ways_agree(make_model, make_shop, normalize, beams):
    model, shop = make_model("llama"), make_shop(40)
    exclude = [shop.codes[:, 0].argsort()[: 5 * row] for row in range(4)]
    tree = recommend_items(model, *shop.args, num_beams=beams, k=beams, normalize=normalize, exclude=exclude)
    leaves, scores = search_by_generate(model, *shop.args, beams, normalize, exclude=exclude)
    plain = ranked_items(shop.trie, leaves, scores, beams)
    assert tree[0].tolist() == plain[0].tolist()
    torch.testing.assert_close(tree[1], plain[1], rtol=2e-5, atol=2e-5)


def test_stored_generation_settings_do_not_interfere(make_model, make_shop):
    model, shop = make_model("mistral-window"), make_shop(40)
    expected = recommend_items(model, *shop.args, num_beams=6, k=6)
    stored = model.generation_config
    stored.repetition_penalty, stored.eos_token_id = 3.0, int(shop.token_ids[0][0])
    stored.no_repeat_ngram_size, stored.suppress_tokens = 1, shop.token_ids[1].tolist()[:3]
    rows, scores = recommend_items(model, *shop.args, num_beams=6, k=6)
    assert torch.equal(rows, expected[0]) and torch.equal(scores, expected[1])
    assert model.generation_config is stored and stored.repetition_penalty == 3.0


def test_the_reason_is_logged_once(make_model, make_shop, caplog, monkeypatch):
    monkeypatch.setattr("hf_llmrec.generation.beam_search._logged", set())
    model, shop = make_model("mistral-window"), make_shop()
    with caplog.at_level(logging.WARNING, logger="hf_llmrec"):
        for _ in range(2):
            recommend_items(model, *shop.args)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("hf_llmrec")]
    assert lines == [
        "MistralForCausalLM: its attention window (6) is shorter than prompt and index (15); "
        "decoding without the tree of beams"
    ]


def test_window_longer_than_the_context_is_no_obstacle(make_model):
    model = make_model("mistral-window")
    assert tree_obstacle(model, 6) is None and "window (6)" in tree_obstacle(model, 7)
    model = make_model("gemma2-window")
    assert tree_obstacle(model, 6) is None and "window (6)" in tree_obstacle(model, 7)


def test_kernels_without_masks(make_model, monkeypatch):
    model = make_model("llama")
    monkeypatch.setattr(model.config, "_attn_implementation_internal", "flash_attention_2")
    assert "'flash_attention_2' takes no 4-D mask" in tree_obstacle(model, 10)


def build_bloom():
    config = BloomConfig(vocab_size=97, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.4)
    return BloomForCausalLM(config).double().eval()


def test_relative_positions_from_the_mask(make_shop, exhaustive_reference):
    """Bloom counts positions itself: beams as extra tokens of a row would be further and further away."""
    torch.manual_seed(0)
    model, shop = build_bloom(), make_shop(12, size=4, lengths=(9, 3))
    assert "takes no position ids" in tree_obstacle(model, 10)
    expected = exhaustive_reference(model, shop, "level")
    rows, scores = recommend_items(model, *shop.args, num_beams=12, k=12)
    torch.testing.assert_close(scores, expected.gather(1, rows), rtol=2e-5, atol=2e-5)
    scores = score_items(model, *shop.args, torch.arange(12).expand(2, -1))
    torch.testing.assert_close(scores, expected, rtol=2e-5, atol=2e-5)


def test_models_without_a_cache_of_tokens():
    mamba = MambaForCausalLM(MambaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=1, state_size=4))
    assert tree_obstacle(mamba, 10) is not None
    t5 = T5ForConditionalGeneration(
        T5Config(vocab_size=97, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0)
    )
    assert "encoder-decoder" in tree_obstacle(t5, 10)


def test_a_model_that_ignores_the_mask_is_found_out(make_model):
    model = make_model("llama")
    forward = model.model.layers[0].self_attn.forward
    model.model.layers[0].self_attn.forward = lambda *args, **kwargs: forward(
        *args, **{**kwargs, "attention_mask": None}
    )
    assert "other logits than plain forward passes" in tree_obstacle(model, 10)


@pytest.mark.parametrize("name", ["gpt2", "qwen3", "gemma2"])
def test_scores_of_whole_sequences(make_model, make_shop, exhaustive_reference, name, monkeypatch):
    model, shop = make_model(name), make_shop(12, size=4, lengths=(9, 3, 9))
    monkeypatch.setattr("hf_llmrec.generation.beam_search.tree_obstacle", lambda *_: "a test")
    monkeypatch.setattr("hf_llmrec.generation.fallback.CHUNK", 5)
    scores = score_items(model, *shop.args, torch.arange(12).expand(3, -1), normalize="vocab")
    torch.testing.assert_close(scores, exhaustive_reference(model, shop, "vocab"), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", ["llama", "mistral-window"])
def test_scores_that_are_no_numbers_are_an_error(make_model, make_shop, name):
    model, shop = make_model(name), make_shop()
    recommend_items(model, *shop.args)
    model.model.norm.weight.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="not numbers"):
        recommend_items(model, *shop.args)


@dataclass
class MemoryOutput(ModelOutput):
    last_hidden_state: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    memory: Cache | None = None


# What this release of transformers calls its cache.
(CACHE,) = {field.name for field in fields(BaseModelOutputWithPast)} & {"past_key_values", "cache"}


class MemoryModel(LlamaModel):
    """A Llama of another release, whose cache goes in and comes out as ``memory``."""

    def forward(self, input_ids=None, attention_mask=None, position_ids=None, memory=None, use_cache=None):
        outputs = super().forward(
            input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=use_cache, **{CACHE: memory}
        )
        return MemoryOutput(last_hidden_state=outputs.last_hidden_state, memory=outputs.get(CACHE))


class MemoryForCausalLM(LlamaForCausalLM):
    def __init__(self, config):
        super().__init__(config)
        self.model = MemoryModel(config)
        self.post_init()

    def forward(self, input_ids=None, logits_to_keep=0, **inputs):
        outputs = self.model(input_ids, **inputs)
        return MemoryOutput(logits=self.lm_head(outputs.last_hidden_state), memory=outputs.get("memory"))


def test_a_cache_of_another_name_needs_no_fallback(make_model, make_shop):
    stock, shop = make_model("llama"), make_shop(12, size=4, lengths=(9, 3))
    model = MemoryForCausalLM(stock.config).to(stock.dtype).eval()
    model.load_state_dict(stock.state_dict())
    assert tree_obstacle(model, 10) is None
    found, expected = (recommend_items(each, *shop.args, num_beams=12) for each in (model, stock))
    assert found[0].tolist() == expected[0].tolist()
    torch.testing.assert_close(found[1], expected[1])


def test_position_ids_that_are_ignored(make_model):
    model = make_model("llama")
    rotary = model.model.rotary_emb.forward
    model.model.rotary_emb.forward = lambda x, position_ids: rotary(x, torch.zeros_like(position_ids).cumsum(1))
    assert uses_positions(make_model("llama"))
    assert not uses_positions(model)
