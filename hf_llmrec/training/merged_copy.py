"""A copy of a model with merged adapters, while the model itself goes on training."""

from __future__ import annotations

import copy

import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel


def merged_copy(model: PeftModel) -> PreTrainedModel:
    """Copy a model to CPU memory and merge the adapters of the copy.

    Merging in place and unmerging would round the frozen weights and so change the training.

    Args:
        model: the model with all its weights; it is not changed.
    """
    tensors = [*model.parameters(), *model.buffers()]
    memo: dict[int, torch.Tensor] = {}
    for tensor in tensors:
        # deepcopy does not copy what is in the memo, so no tensor is held twice on the GPU. Quantised weights have
        # classes of their own, which define how they are copied.
        if type(tensor) is nn.Parameter:
            memo[id(tensor)] = nn.Parameter(_on_cpu(tensor), requires_grad=False)
        elif type(tensor) is torch.Tensor:
            memo[id(tensor)] = _on_cpu(tensor)
    return copy.deepcopy(model, memo).merge_and_unload()


def _on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True)
