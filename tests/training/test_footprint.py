"""The estimate of memory against what is there: parameters, optimizer state, tensors saved for the backward pass."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from hf_llmrec.training.footprint import Setup, footprint
from hf_llmrec.training.gathered_model import gathered_copy

SIZES = {"vocab_size": 60, "hidden_size": 64, "intermediate_size": 160, "num_attention_heads": 4}
SIZES |= {"num_key_value_heads": 2, "num_hidden_layers": 3}
MODELS = {
    "tied": lambda: LlamaForCausalLM(LlamaConfig(tie_word_embeddings=True, **SIZES)),
    "untied": lambda: Qwen3ForCausalLM(Qwen3Config(tie_word_embeddings=False, head_dim=16, **SIZES)),
}
LORA = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], lora_dropout=0.1, task_type="CAUSAL_LM")
TOKENS = 200


def saved_bytes(model, tokens: int, half: bool) -> int:
    """What a forward pass of the layers really keeps for the backward pass, weights left out."""
    base = model.get_base_model() if hasattr(model, "peft_config") else model
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def pack(tensor):
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids = torch.zeros(2, tokens // 2, dtype=torch.long)
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=half):
        base.base_model(input_ids=ids, use_cache=False)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("adapters", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("kind", list(MODELS))
def test_counts_are_those_of_the_real_thing(kind, adapters, half):
    model = MODELS[kind]()
    found = footprint(model, adapters, Setup(half=half), tokens=TOKENS, logits=7)
    real = model.train() if adapters is None else get_peft_model(model, adapters).train()
    trained = [parameter for parameter in real.parameters() if parameter.requires_grad]
    assert found.parameters == sum(parameter.numel() for parameter in real.parameters())
    assert found.trained == sum(parameter.numel() for parameter in trained)
    assert found.parts["weights"] == sum(p.numel() * p.element_size() for p in real.parameters())
    assert found.parts["logits"] == 7 and found.total == sum(found.parts.values())
    assert found.parts["activations"] == pytest.approx(saved_bytes(real, TOKENS, half), rel=0.05)
    optimizer = torch.optim.AdamW(trained)
    real(input_ids=torch.zeros(1, 4, dtype=torch.long), labels=torch.zeros(1, 4, dtype=torch.long)).loss.backward()
    optimizer.step()
    states = [value for state in optimizer.state.values() for value in state.values() if value.dim()]
    assert found.parts["optimizer"] == sum(value.numel() * value.element_size() for value in states)
    assert found.parts["gradients"] == sum(p.grad.numel() * p.grad.element_size() for p in trained)


def test_spreading_divides_what_it_spreads():
    model = MODELS["untied"]()
    parts = {
        sharding: footprint(model, None, Setup(4, sharding, half=True, momentum=True), tokens=TOKENS, logits=0).parts
        for sharding in ("none", "zero2", "zero3", "fsdp2")
    }
    trained = sum(parameter.numel() for parameter in model.parameters())
    assert parts["zero2"]["weights"] == trained * 2 and parts["none"]["weights"] == trained * 4
    assert parts["zero2"]["optimizer"] == parts["zero3"]["optimizer"] == trained * 12 // 4
    assert parts["fsdp2"]["optimizer"] == trained * 8 // 4
    assert parts["zero3"]["momentum"] * 4 == parts["none"]["momentum"] == trained * 4
    assert parts["zero3"]["gradients"] == trained * 2 // 4
    assert parts["none"]["gradients"] == 2 * trained * 4, "the buckets of DistributedDataParallel, too"


def test_ranking_needs_the_whole_model_where_weights_are_sharded():
    """ZeRO-3 and FSDP2 gather a copy on every process; with many processes it is most of what one of them holds."""
    model = MODELS["untied"]()
    count = sum(parameter.numel() for parameter in model.parameters())
    for sharding, width, states in (("zero3", 2, 12), ("fsdp2", 4, 8)):
        found = footprint(model, None, Setup(64, sharding, half=True), tokens=1, logits=0)
        assert found.full_model == width * count
        assert found.ranking == width * count // 64 + states * count // 64 + width * count
        assert found.peak == max(found.ranking, found.total) >= found.full_model
    for sharding in ("none", "zero2"):
        found = footprint(model, None, Setup(64, sharding, half=True), tokens=TOKENS, logits=0)
        assert found.full_model == 0 and found.peak == found.total


def test_a_gathered_copy_of_a_sharded_model_takes_what_was_counted():
    """What `gathered_copy` makes in each of two processes, here of a model that nothing shards."""
    model = MODELS["untied"]()
    copy = gathered_copy(model, "cpu")
    kept = sum(parameter.numel() * parameter.element_size() for parameter in copy.parameters())
    assert footprint(model, None, Setup(2, "fsdp2", half=True), tokens=1, logits=0).full_model == kept


def test_checkpointing_keeps_the_inputs_of_layers_and_one_layer():
    model = MODELS["tied"]()
    all_of_it, little = (
        footprint(model, None, Setup(checkpointing=value), tokens=TOKENS, logits=0) for value in (False, True)
    )
    assert little.parts["activations"] < 0.5 * all_of_it.parts["activations"]
    assert little.flops_per_token == pytest.approx(8 / 6 * all_of_it.flops_per_token)


def test_a_model_without_memory_is_counted_as_one_with():
    with torch.device("meta"):
        empty = MODELS["untied"]()
    found = [footprint(model, LORA, Setup(half=True), tokens=TOKENS, logits=0) for model in (empty, MODELS["untied"]())]
    assert found[0] == found[1]


def test_unknown_sharding():
    with pytest.raises(ValueError, match="sharding must be one of"):
        Setup(sharding="zero1")
