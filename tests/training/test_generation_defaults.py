"""What a base generates with never stands in the way of saving what was trained from it."""

import pytest
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig, LlamaForCausalLM

from hf_llmrec.training.generation_defaults import mend_generation_config

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture
def base():
    return LlamaForCausalLM(LlamaConfig(vocab_size=50, **SIZES))


@pytest.mark.parametrize(
    "options, dropped",
    [
        ({"do_sample": False, "temperature": 0.6, "top_p": 0.9}, ["temperature", "top_p"]),
        ({"length_penalty": 0.5, "repetition_penalty": 1.2}, ["length_penalty"]),
        ({"output_scores": True}, ["output_scores"]),
        ({"do_sample": True, "temperature": 0.6, "num_beams": 2, "length_penalty": 0.5}, []),
        ({"num_return_sequences": 3}, ["num_return_sequences"]),
    ],
)  # fmt: skip
def test_as_many_options_stay_as_are_valid_together(base, tmp_path, caplog, options, dropped):
    base.generation_config = GenerationConfig(eos_token_id=[7, 8], max_length=99)
    for name, value in options.items():  # as read from a file: what is set later is not checked
        setattr(base.generation_config, name, value)
    assert mend_generation_config(base, "some/base") == dropped
    assert ("some/base" in caplog.text) == bool(dropped) and all(name in caplog.text for name in dropped)
    base.save_pretrained(tmp_path)
    saved = AutoModelForCausalLM.from_pretrained(tmp_path).generation_config
    kept = {name: value for name, value in options.items() if name not in dropped}
    assert {name: getattr(saved, name) for name in kept} == kept
    assert saved.eos_token_id == [7, 8] and saved.max_length == 99
    default = GenerationConfig()
    assert all(getattr(saved, name) == getattr(default, name) for name in dropped)
