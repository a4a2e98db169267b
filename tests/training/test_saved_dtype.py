"""Saved models in another precision than they were trained in."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from hf_llmrec.training.saved_dtype import cast_saved_model


@pytest.fixture
def model():
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(vocab_size=50, tie_word_embeddings=False, **sizes))


@pytest.mark.parametrize("shards", ["10GB", "20KB"])
def test_weights_and_configuration_are_cast(model, tmp_path, shards):
    model.save_pretrained(tmp_path, max_shard_size=shards)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert (len(files) > 1) == (shards == "20KB")
    cast_saved_model(tmp_path, torch.bfloat16)
    assert sorted(tmp_path.glob("*.safetensors")) == files and not list(tmp_path.glob(".*"))
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.dtype == torch.bfloat16
    for (name, value), found in zip(model.named_parameters(), loaded.parameters(), strict=True):
        assert torch.equal(value.bfloat16(), found), name
    if shards == "20KB":
        index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
        assert index["metadata"]["total_size"] == 2 * model.num_parameters()


def test_what_is_no_floating_point_number_stays(model, tmp_path):
    model.register_buffer("counts", torch.arange(5))
    model.save_pretrained(tmp_path)
    cast_saved_model(tmp_path, torch.float16)
    assert load_file(tmp_path / "model.safetensors")["counts"].dtype == torch.int64
