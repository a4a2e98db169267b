"""`LevelHead`: from hidden states to the log-probabilities of one level's codes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

NORMALIZATIONS = ("vocab", "level", "children")
# Vocabulary-wide scores are computed this many numbers at a time (128 MiB in float32).
CHUNK = 2**25


def has_linear_head(model: PreTrainedModel) -> bool:
    """Whether the output embedding is a plain linear layer whose rows can be picked.

    Adapters around it, quantised heads and heads sharded by ZeRO-3 are not.
    """
    head = model.get_output_embeddings()
    return type(head) is nn.Linear and head.weight.dim() == 2


class LevelHead:
    """Log-probabilities of the codes of one level, projecting only what is needed.

    Args:
        model: causal LM.
        level_token_ids: per level int64 (codes,), the vocabulary id of each code.
        normalize: ``vocab``, ``level`` or ``children``, see `recommend_items`.
        projected: the head is given the model's own logits (..., vocabulary), not hidden states.
    """

    def __init__(
        self, model: PreTrainedModel, level_token_ids: Sequence, normalize: str, projected: bool, device: torch.device
    ):
        self.ids = [torch.as_tensor(ids, dtype=torch.long, device=device) for ids in level_token_ids]
        self.normalize, self.projected = normalize, projected
        self.softcap = None
        if not projected:
            head = model.get_output_embeddings()
            self.weight, self.bias = head.weight, head.bias
            self.softcap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)

    def logits(self, hidden: torch.Tensor, ids: torch.Tensor | None) -> torch.Tensor:
        """Logits of vocabulary rows ``ids`` (``None``: all), float32 or wider: (..., rows)."""
        if self.projected:
            logits = hidden if ids is None else hidden[..., ids]
        else:
            weight, bias = self.weight, self.bias
            if ids is not None:
                weight, bias = weight[ids], None if bias is None else bias[ids]
            # Autocast would round logits to half precision, and near items to equal scores.
            with torch.autocast(hidden.device.type, enabled=False):
                logits = F.linear(hidden.to(weight.dtype), weight, bias)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if self.softcap:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits

    def __call__(self, hidden: torch.Tensor, level: int) -> torch.Tensor:
        """``hidden`` (..., width) -> log-probabilities (..., codes of the level), float32 or wider.

        With ``children`` these are plain logits: the caller normalises over the children it knows.
        """
        ids = self.ids[level]
        if self.normalize == "vocab":
            flat = hidden.flatten(0, -2)
            size = max(1, CHUNK // (hidden.shape[-1] if self.projected else len(self.weight)))
            parts = []
            for chunk in flat.split(size):
                logits = self.logits(chunk, None)
                # The picked logits minus one number per row: cheaper than a log-softmax over the whole vocabulary.
                parts.append(logits[..., ids] - logits.logsumexp(-1, keepdim=True))
            return torch.cat(parts).view(*hidden.shape[:-1], -1)
        logits = self.logits(hidden, ids)
        return logits if self.normalize == "children" else logits.log_softmax(-1)
