"""A model with its adapters merged, beside the one that goes on training."""

from __future__ import annotations

import copy

import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel


def merged_copy(model: PeftModel) -> PreTrainedModel:
    """A copy in CPU memory whose adapters are merged.

    Merging in place and taking it back would round the frozen weights, and the training would not be what it was.

    Args:
        model: with all its weights; it is not changed.
    """
    tensors = [*model.parameters(), *model.buffers()]
    memo: dict[int, torch.Tensor] = {}
    for tensor in tensors:
        # What is already in the memo is not copied again: nothing is held twice on the GPU. Quantised weights are a
        # class of their own and know themselves how they are copied.
        if type(tensor) is nn.Parameter:
            memo[id(tensor)] = nn.Parameter(_on_cpu(tensor), requires_grad=False)
        elif type(tensor) is torch.Tensor:
            memo[id(tensor)] = _on_cpu(tensor)
    return copy.deepcopy(model, memo).merge_and_unload()


def _on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True)
