"""A parameter with all its rows, before training begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

Parameter = TypeVar("Parameter", bound=torch.Tensor)


@contextmanager
def gathered_weight(parameter: Parameter) -> Iterator[Parameter]:
    """Give access to all rows of a parameter, which DeepSpeed ZeRO-3 may have sharded over the processes.

    Must be called on all processes; what the first one writes inside the block is sent to the others.

    Args:
        parameter: of a model before training; yielded with all its rows.
    """
    if is_deepspeed_zero3_enabled():
        import deepspeed  # pyright: ignore[reportMissingImports]  # an extra

        with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
            yield parameter
    else:
        yield parameter
