"""Weights that DeepSpeed ZeRO-3 or FSDP2 spread over processes: this process's part, other values in their place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor


def is_spread(model: nn.Module) -> bool:
    """Whether each process holds but a part of the model's weights."""
    return any(isinstance(p, DTensor) or _by_deepspeed(p) for p in model.parameters())


def held_part(parameter: nn.Parameter) -> torch.Tensor:
    """What this process holds of a parameter, without gradient: all of it, or its part. Shares its memory."""
    if isinstance(parameter, DTensor):
        return parameter.detach().to_local()
    return parameter.ds_tensor if _by_deepspeed(parameter) else parameter.detach()


def num_values(parameter: nn.Parameter) -> int:
    """How many numbers a parameter has in all; under ZeRO-3 its own ``numel`` is that of what is gathered now."""
    return parameter.ds_numel if _by_deepspeed(parameter) else parameter.numel()


@contextmanager
def averages_in_place(model: nn.Module, parameters: dict[str, tuple[nn.Parameter, torch.Tensor]]) -> Iterator[None]:
    """Other values in the place of spread parameters inside the block; whoever gathers them there gathers those.

    Whatever was gathered before is let go first, and again afterwards, so that nobody reads what was gathered of the
    other values.

    Args:
        parameters: by name, the parameter and this process's part of its other values.
    """
    _let_go(model)
    parts = [held_part(parameter) for parameter, _ in parameters.values()]
    own = [part.clone() for part in parts]
    for part, (_, value) in zip(parts, parameters.values(), strict=True):
        part.copy_(value)
    try:
        yield
    finally:
        _let_go(model)
        for part, value in zip(parts, own, strict=True):
            part.copy_(value)


def _let_go(model: nn.Module) -> None:
    """Forget gathered weights: layers gather them again when they are called."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
    for parameter in model.parameters():
        if _by_deepspeed(parameter) and parameter.ds_status.name == "AVAILABLE":
            parameter.partition()


def _by_deepspeed(parameter: nn.Parameter) -> bool:
    # DeepSpeed gives a parameter that it has spread these attributes; it has no class of its own.
    return hasattr(parameter, "ds_tensor")
