"""A whole model out of one whose weights FSDP2 spreads over processes."""

from __future__ import annotations

import torch
from peft import PeftModel
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel


def is_sharded(model: nn.Module) -> bool:
    """Whether FSDP2 has prepared the model."""
    return any(isinstance(module, FSDPModule) for module in model.modules())


@torch.no_grad()
def whole_copy(model: nn.Module, device: torch.device | str, keep: bool = True) -> PreTrainedModel | None:
    """A copy of a sharded model, adapters merged, that nothing wraps: it can be ranked with and saved.

    A copy, because layers that FSDP2 has prepared gather weights whenever they are called, and processes that rank
    different numbers of batches would wait for each other for ever.

    Args:
        model: as FSDP2 has prepared it, perhaps with adapters. Called on all processes.
        device: where the copy lies.
        keep: whether this process wants it; others only take part in gathering.
    """
    whole: dict[nn.Parameter, nn.Parameter | None] = {}  # what is tied stays tied
    for parameter in model.parameters():
        value = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter.detach()
        whole[parameter] = nn.Parameter(value.to(device), requires_grad=False) if keep else None
    if not keep:
        return None
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    # Its layers are made without memory; they get the gathered weights and the model's own tables.
    stock = next(each for each in type(base).__mro__ if not issubclass(each, FSDPModule))
    with torch.device("meta"):
        copy: nn.Module = stock(base.config)
        if isinstance(model, PeftModel):
            copy = PeftModel(copy, model.peft_config[model.active_adapter])
    for name, parameter in model.named_parameters(remove_duplicate=False):
        _put(copy, name, whole[parameter])
    for name, value in model.named_buffers(remove_duplicate=False):
        _put(copy, name, value.detach().to(device))
    if isinstance(copy, PeftModel):
        copy = copy.merge_and_unload()
    copy.generation_config = base.generation_config
    return copy.eval()


def _put(model: nn.Module, name: str, value: torch.Tensor) -> None:
    path, _, last = name.rpartition(".")
    setattr(model.get_submodule(path), last, value)
