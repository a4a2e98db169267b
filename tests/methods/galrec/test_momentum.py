"""The momentum encoder: an exact moving average, borrowed weights, and nothing left behind."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from hf_llmrec.methods.galrec.momentum import MomentumEncoder


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.dropout = nn.Linear(3, 4), nn.Linear(4, 2), nn.Dropout(0.5)
        self.second.weight.requires_grad_(False)

    def forward(self, inputs):
        return self.second(self.dropout(self.first(inputs)))


def test_averages_and_forward():
    torch.manual_seed(0)
    model, inputs = Net().train(), torch.randn(5, 3)
    encoder = MomentumEncoder(model, 0.9)
    assert set(encoder.averages) == {"first.weight", "first.bias", "second.bias"}, "frozen weights are not copied"
    reference = {name: value.clone() for name, value in encoder.averages.items()}
    for _ in range(3):
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter))
        encoder.update()
        now = dict(model.named_parameters())
        reference = {name: 0.9 * value + 0.1 * now[name].detach() for name, value in reference.items()}
    for name, value in reference.items():
        torch.testing.assert_close(encoder.averages[name], value)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    found = encoder(inputs=inputs)
    copy = Net().eval()
    copy.load_state_dict({**weights, **reference})
    torch.testing.assert_close(found, copy(inputs))
    assert not found.requires_grad and model.training
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())


def test_without_momentum_it_is_the_model():
    model, inputs = Net().eval(), torch.randn(2, 3)
    encoder = MomentumEncoder(model, 0.0)
    with torch.no_grad():
        model.first.weight.add_(1.0)
    encoder.update()
    torch.testing.assert_close(encoder(inputs=inputs), model(inputs))


def test_half_precision_is_averaged_in_float32():
    model = Net().to(torch.bfloat16)
    encoder = MomentumEncoder(model, 0.999)
    before = encoder.averages["first.bias"].clone()
    with torch.no_grad():
        model.first.bias.add_(0.01)
    encoder.update()
    moved = encoder.averages["first.bias"] - before
    assert moved.dtype == torch.float32 and (moved > 0).all() and (moved < 1e-4).all()
    assert encoder(inputs=torch.randn(2, 3, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_with_lora_the_adapters_are_copied():
    backbone = LlamaForCausalLM(
        LlamaConfig(vocab_size=20, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    )
    model = get_peft_model(backbone, LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["norm"]))
    encoder = MomentumEncoder(model, 0.5)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert set(encoder.averages) == trained and encoder.num_parameters < 0.05 * backbone.num_parameters()
    ids = torch.tensor([[1, 2, 3]])
    before = encoder(input_ids=ids).logits
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(1.0)
    assert torch.equal(encoder(input_ids=ids).logits, before), "the adapter of the moment was read"
    encoder.update()
    assert not torch.equal(encoder(input_ids=ids).logits, before)


def test_state_and_errors():
    first, second = MomentumEncoder(Net()), MomentumEncoder(Net())
    second.load_state_dict(first.state_dict())
    assert all(torch.equal(first.averages[name], second.averages[name]) for name in first.averages)
    with pytest.raises(ValueError, match="another model"):
        second.load_state_dict({"other": torch.zeros(1)})
    with pytest.raises(ValueError, match="momentum"):
        MomentumEncoder(Net(), 1.0)
    with pytest.raises(ValueError, match="first.weight .* on as many processes"):
        second.load_state_dict({name: value[:1] for name, value in first.state_dict().items()})
