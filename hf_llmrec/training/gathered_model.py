"""An ordinary model with all its weights, copied from one that FSDP2 shards over processes."""

from __future__ import annotations

from typing import Literal, cast, overload

import torch
from peft import PeftModel
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel


def is_prepared_by_fsdp2(model: nn.Module) -> bool:
    """Whether FSDP2 has prepared the model.

    Args:
        model: in any state, before or after it was prepared for training.
    """
    return any(isinstance(module, FSDPModule) for module in model.modules())


@overload
def gathered_copy(model: nn.Module, device: torch.device | str, keep: Literal[True] = True) -> PreTrainedModel: ...


@overload
def gathered_copy(model: nn.Module, device: torch.device | str, keep: bool) -> PreTrainedModel | None: ...


@torch.no_grad()
def gathered_copy(model: nn.Module, device: torch.device | str, keep: bool = True) -> PreTrainedModel | None:
    """Copy a sharded model into an unwrapped one with merged adapters, which can rank users and be saved.

    It has to be a copy: layers that FSDP2 has prepared gather weights whenever they are called, so that processes that
    rank different numbers of batches would wait for each other for ever.

    `torch.distributed.checkpoint.state_dict.get_model_state_dict`, which `accelerate.Accelerator.get_state_dict` calls
    under FSDP2, does not replace this: it gathers tied weights twice, leaves out buffers that are not saved (rotary
    frequencies, PEFT's original token rows), and offloads to the CPU on the global rank 0 only.

    Args:
        model: as FSDP2 has prepared it, with or without adapters. Must be called on all processes.
        device: where the copy is placed.
        keep: whether this process builds the copy; if not, it only takes part in gathering.

    Returns:
        The copy in evaluation mode; ``None`` without ``keep``.
    """
    gathered: dict[nn.Parameter, nn.Parameter] = {}  # by the sharded parameter: tied weights stay tied
    for parameter in model.parameters():
        value = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter.detach()
        if keep:
            gathered[parameter] = nn.Parameter(value.to(device), requires_grad=False)
    if not keep:
        return None
    # PEFT annotates the base model as any module.
    base = cast(PreTrainedModel, model.get_base_model() if isinstance(model, PeftModel) else model)
    # The layers are built without memory; they receive the gathered weights and the model's own buffers.
    stock_class = next(each for each in type(base).__mro__ if not issubclass(each, FSDPModule))
    with torch.device("meta"):
        copy = cast(type[PreTrainedModel], stock_class)(base.config)
        adapted = None
        if isinstance(model, PeftModel):
            # A list only in PEFT's mixed models, which TRL does not train.
            adapted = PeftModel(copy, model.peft_config[cast(str, model.active_adapter)])
    target: nn.Module = copy if adapted is None else adapted
    for name, parameter in model.named_parameters(remove_duplicate=False):
        _set_tensor(target, name, gathered[parameter])
    for name, value in model.named_buffers(remove_duplicate=False):
        _set_tensor(target, name, value.detach().to(device))
    if adapted is not None:
        copy = cast(PreTrainedModel, adapted.merge_and_unload())
    copy.generation_config = base.generation_config
    return copy.eval()


def _set_tensor(model: nn.Module, name: str, value: torch.Tensor) -> None:
    path, _, last = name.rpartition(".")
    setattr(model.get_submodule(path), last, value)
