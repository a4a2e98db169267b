"""The first layers of a model: the same states as the model's own after as many layers, saved as a stock model."""

import logging

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
)

from hf_llmrec.methods.galrec.recommender import GALRecRecommender
from hf_llmrec.methods.lcrec.recommender import LCRecRecommender
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer
from hf_llmrec.training.first_layers import keep_first_layers
from hf_llmrec.training.load_backbone import load_backbone

IDS = torch.tensor([[1, 5, 9, 2]])
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1}


def llama(layers=4, **fields):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(vocab_size=50, num_hidden_layers=layers, **SIZES, **fields)).eval()


def gemma():
    torch.manual_seed(0)
    kinds = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
    config = Gemma3TextConfig(vocab_size=50, num_hidden_layers=4, layer_types=kinds, head_dim=8, **SIZES)
    return Gemma3ForCausalLM(config).eval()


def gpt2():
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=4, n_head=2)).eval()


@pytest.mark.parametrize("make", [llama, gemma, gpt2])
def test_the_states_are_those_after_so_many_layers(make, tmp_path):
    whole = make()
    entering = []  # what the third layer reads is what the second one gives
    third = (whole.transformer.h if make is gpt2 else whole.model.layers)[2]
    hook = third.register_forward_pre_hook(
        lambda module, args, kwargs: entering.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    with torch.no_grad():
        whole(input_ids=IDS)
        norm = whole.transformer.ln_f if make is gpt2 else whole.model.norm
        expected = whole.lm_head(norm(entering[0]))
    hook.remove()
    keep_first_layers(whole, 2, "it")
    assert whole.config.num_hidden_layers == 2
    if make is gemma:
        assert whole.config.layer_types == ["sliding_attention", "full_attention"]
    with torch.no_grad():
        torch.testing.assert_close(whole(input_ids=IDS).logits, expected)
    whole.save_pretrained(tmp_path / "short")
    loaded, report = AutoModelForCausalLM.from_pretrained(tmp_path / "short", output_loading_info=True)
    assert type(loaded) is type(whole) and not report["missing_keys"] and not report["unexpected_keys"]
    with torch.no_grad():
        torch.testing.assert_close(loaded.eval()(input_ids=IDS).logits, expected)
        assert loaded.generate(IDS, max_new_tokens=3, do_sample=False).shape == (1, 7)  # its cache has two layers


def test_lists_of_other_things_stay():
    model = llama(2, eos_token_id=[3, 4])
    keep_first_layers(model, 1, "it")
    assert model.config.eos_token_id == [3, 4] and model.config.architectures is None
    keep_first_layers(model, 1, "it")
    assert len(model.model.layers) == 1


@pytest.mark.parametrize("number, words", [(0, "num_layers must be at least 1, got 0"), (5, "it has 4 layers, 5")])
def test_numbers_out_of_range(number, words):
    with pytest.raises(ValueError, match=words):
        keep_first_layers(llama(), number, "it")


def test_a_model_that_would_load_with_other_parameters_is_refused():
    model = llama()
    model.model.layers[0].extra = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"it \(LlamaForCausalLM\) cannot be shortened.*layers.0.extra.bias"):
        keep_first_layers(model, 2, "it")
    model = llama()
    model.model.second = torch.nn.ModuleList(torch.nn.Identity() for _ in range(4))
    with pytest.raises(ValueError, match="no single list of 4 layers"):
        keep_first_layers(model, 2, "it")


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    """A "pretrained" model of four layers with its tokenizer."""
    path = tmp_path_factory.mktemp("pretrained")
    tokenizer = train_corpus_tokenizer(dataset.titles, vocab_size=300)
    tokenizer.save_pretrained(path)
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(tokenizer), num_hidden_layers=4, tie_word_embeddings=True, **SIZES)
    LlamaForCausalLM(config).save_pretrained(path)
    return path


@pytest.mark.parametrize("has_weights", [True, False])
def test_wherever_a_backbone_comes_from(folder, has_weights, caplog):
    with caplog.at_level(logging.INFO, logger="hf_llmrec"):
        loaded = load_backbone(folder, texts=list, max_length=64, num_layers=3, has_weights=has_weights)
    assert "the first 3 of 4 layers are kept" in caplog.text
    assert isinstance(loaded.tokenizer, PreTrainedTokenizerBase)
    assert len(loaded.model.model.layers) == loaded.model.config.num_hidden_layers == 3
    assert (loaded.model.device.type == "meta") is not has_weights
    if has_weights:
        again = load_backbone(loaded.model, tokenizer=loaded.tokenizer, texts=list, max_length=64, num_layers=2)
        assert again.model is loaded.model and len(again.model.model.layers) == 2
    texts = ["one two three four", "five six seven eight"] * 4
    tiny = load_backbone("tiny", texts=lambda: texts, max_length=64, num_layers=1, corpus_vocab_size=300)
    assert len(tiny.model.model.layers) == 1
    with pytest.raises(ValueError, match="has 4 layers, 9 were asked for"):
        load_backbone(folder, texts=list, max_length=64, num_layers=9, has_weights=has_weights)


def test_both_methods_train_on_the_first_layers(folder, dataset, index, tmp_path):
    lcrec = LCRecRecommender.from_backbone(folder, index=index, dataset=dataset, num_layers=2)
    galrec = GALRecRecommender.from_backbone(folder, dataset=dataset, num_layers=2)
    galrec.save_pretrained(tmp_path / "galrec")
    for model in (lcrec.model.model, galrec.trunk.language_model):
        assert len(model.layers) == model.config.num_hidden_layers == 2
    assert GALRecRecommender.from_pretrained(tmp_path / "galrec").trunk.language_model.config.num_hidden_layers == 2
    with pytest.raises(ValueError, match="num_layers: .*galrec is a saved GAL-Rec"):
        GALRecRecommender.from_backbone(tmp_path / "galrec", dataset=dataset, num_layers=1)
