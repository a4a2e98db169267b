"""`LevelHead`: from hidden states to the log-probabilities of one level's codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

NORMALIZATIONS = ("vocab", "level", "children")
# Logits over the full vocabulary are computed this many numbers at a time (128 MiB in float32).
CHUNK = 2**25


def input_weight(model: PreTrainedModel) -> nn.Parameter:
    """The matrix of the input embeddings, (rows, width)."""
    # nn.Module annotates attributes that it does not know as `Tensor | Module`.
    return cast(nn.Parameter, model.get_input_embeddings().weight)


def has_linear_head(model: PreTrainedModel) -> bool:
    """Whether the output embedding is a plain linear layer, of which single rows can be used.

    Heads with adapters, quantised heads and heads sharded by ZeRO-3 are not.
    """
    head = model.get_output_embeddings()
    return type(head) is nn.Linear and head.weight.dim() == 2


class LevelHead:
    """Log-probabilities of the codes of one level, projecting only the rows that are needed.

    Args:
        model: causal LM.
        level_token_ids: per level, int64 (codes,), the vocabulary id of each code.
        normalize: ``vocab``, ``level`` or ``children``, see `recommend_items`.
        projected: whether the inputs are the model's own logits (..., vocabulary) instead of hidden states.
        device: where the token ids are kept, that of the inputs.

    Raises:
        ValueError: ``projected`` is false and the model has no output embeddings.
    """

    def __init__(
        self, model: PreTrainedModel, level_token_ids: Sequence, normalize: str, projected: bool, device: torch.device
    ):
        self.ids = [torch.as_tensor(ids, dtype=torch.long, device=device) for ids in level_token_ids]
        self.normalize, self.projected = normalize, projected
        self.softcap = None
        if not projected:
            head = model.get_output_embeddings()
            if head is None:
                raise ValueError(f"{type(model).__name__} has no output embeddings")
            self.weight, self.bias = head.weight, head.bias
            self.softcap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)

    def logits(self, hidden: torch.Tensor, ids: torch.Tensor | None) -> torch.Tensor:
        """Logits (..., rows) of the vocabulary rows ``ids`` (``None``: all), float32 or wider."""
        if self.projected:
            logits = hidden if ids is None else hidden[..., ids]
        else:
            weight, bias = self.weight, self.bias
            if ids is not None:
                weight, bias = weight[ids], None if bias is None else bias[ids]
            # Autocast would round logits to half precision, and close scores to equal ones.
            with torch.autocast(hidden.device.type, enabled=False):
                logits = F.linear(hidden.to(weight.dtype), weight, bias)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if self.softcap:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits

    def __call__(self, hidden: torch.Tensor, level: int) -> torch.Tensor:
        """Log-probabilities (..., codes of the level) for ``hidden`` (..., width), float32 or wider.

        With ``children`` these are plain logits, which the caller normalises over the children of each beam.
        """
        ids = self.ids[level]
        if self.normalize == "vocab":
            flat = hidden.flatten(0, -2)
            size = max(1, CHUNK // (hidden.shape[-1] if self.projected else len(self.weight)))
            parts = []
            for chunk in flat.split(size):
                logits = self.logits(chunk, None)
                # Subtracting one number per row is cheaper than a log-softmax over the full vocabulary.
                parts.append(logits[..., ids] - logits.logsumexp(-1, keepdim=True))
            return torch.cat(parts).view(*hidden.shape[:-1], -1)
        logits = self.logits(hidden, ids)
        return logits if self.normalize == "children" else logits.log_softmax(-1)
