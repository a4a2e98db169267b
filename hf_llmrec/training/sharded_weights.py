"""Weights that DeepSpeed ZeRO-3 or FSDP2 shard over processes: reading and replacing this process's shard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeGuard, cast

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor


class _DeepSpeedParameter(Protocol):
    """The attributes that DeepSpeed adds to a parameter that it shards; it has no class of its own for them."""

    ds_tensor: torch.Tensor
    ds_status: Any  # an enum of DeepSpeed, which need not be installed

    def partition(self) -> None: ...


def has_sharded_weights(model: nn.Module) -> bool:
    """Whether each process holds only a part of the model's weights.

    Args:
        model: in any state, before or after it was prepared for training.
    """
    return any(isinstance(p, DTensor) or _is_sharded_by_deepspeed(p) for p in model.parameters())


def local_shard(parameter: nn.Parameter) -> torch.Tensor:
    """What this process holds of a parameter, detached: its shard, or all of it where it is not sharded.

    Args:
        parameter: of a model; the returned tensor shares its memory.
    """
    if isinstance(parameter, DTensor):
        return cast(DTensor, parameter.detach()).to_local()
    return parameter.ds_tensor if _is_sharded_by_deepspeed(parameter) else parameter.detach()


@contextmanager
def averages_in_place(model: nn.Module, parameters: dict[str, tuple[nn.Parameter, torch.Tensor]]) -> Iterator[None]:
    """Replace the shards of parameters by other values inside the block; gathering them there gathers these values.

    Weights that were gathered before are released first, and again afterwards, so that no layer computes with values
    that were gathered on the other side of the exchange.

    Args:
        model: the module that the parameters belong to.
        parameters: by name, the parameter and the values that replace this process's shard of it.
    """
    _release_gathered(model)
    shards = [local_shard(parameter) for parameter, _ in parameters.values()]
    originals = [shard.clone() for shard in shards]
    for shard, (_, value) in zip(shards, parameters.values(), strict=True):
        shard.copy_(value)
    try:
        yield
    finally:
        _release_gathered(model)
        for shard, value in zip(shards, originals, strict=True):
            shard.copy_(value)


def _release_gathered(model: nn.Module) -> None:
    """Free gathered weights: layers gather them again when they are called."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
    for parameter in model.parameters():
        if _is_sharded_by_deepspeed(parameter) and parameter.ds_status.name == "AVAILABLE":
            parameter.partition()


def _is_sharded_by_deepspeed(parameter: nn.Parameter) -> TypeGuard[_DeepSpeedParameter]:
    return hasattr(parameter, "ds_tensor")
