"""A parameter with all its rows, before training begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from transformers.integrations import is_deepspeed_zero3_enabled


@contextmanager
def whole_weight(parameter: nn.Parameter) -> Iterator[nn.Parameter]:
    """``parameter`` with all its rows, which DeepSpeed ZeRO-3 otherwise spreads over the processes.

    Called on all processes; what the first one writes inside the block is kept.
    """
    if is_deepspeed_zero3_enabled():
        import deepspeed

        with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
            yield parameter
    else:
        yield parameter
