"""The LM loss where there is a label, and nowhere else.

TRL's fused head scores every position over the full vocabulary when there is no Triton. Here only labelled positions
are projected, and an index token of level l may be scored against the codes of its level alone: its position says
which level comes, so the rest of the vocabulary carries no information, only cost.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

INDEX_LOSSES = ("level", "vocab")
# Logits of more numbers than this are computed in parts, and again in the backward pass: half a GiB in float32.
MOST_LOGITS = 2**27


class IndexLoss:
    """Cross-entropy of labelled positions, summed, for index and text tokens apart.

    Args:
        level_token_ids: per level, int64 (codes,) vocabulary ids of its codes.
        index_loss: ``level`` normalises an index token over its level's codes, ``vocab`` over the whole vocabulary
            (the paper's). Text tokens are always normalised over the whole vocabulary.
        softcap: the architecture's final logit soft-capping, if any.

    Raises:
        ValueError: unknown ``index_loss``.
    """

    def __init__(self, level_token_ids: Sequence, index_loss: str = "level", softcap: float | None = None):
        if index_loss not in INDEX_LOSSES:
            raise ValueError(f"index_loss must be one of {INDEX_LOSSES}, got {index_loss!r}")
        self.level_ids = [torch.as_tensor(ids, dtype=torch.long) for ids in level_token_ids]
        self.index_loss = index_loss
        self.softcap = softcap

    def _level_rows(self, weight: torch.Tensor, level: int) -> torch.Tensor:
        ids = self.level_ids[level]
        first, count = int(ids[0]), len(ids)
        # Codes lie side by side in the vocabulary whenever the tokenizer is ours: a view instead of a copy.
        if int(ids[-1]) - first == count - 1 and bool((ids[1:] > ids[:-1]).all()):
            return weight[first : first + count]
        return weight[ids.to(weight.device)]

    def _logits(self, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        logits = F.linear(hidden, weight, bias).float()
        return torch.tanh(logits / self.softcap) * self.softcap if self.softcap else logits

    def _sum(
        self, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy summed over (n, width) states, and how many of them have their target on top."""

        def part(states: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits = self._logits(states, weight, bias)
            right = (logits.detach().argmax(-1) == wanted).sum()
            return F.cross_entropy(logits, wanted, reduction="sum"), right

        size = max(MOST_LOGITS // len(weight), 1)
        if len(hidden) <= size:
            return part(hidden, targets)
        parts = zip(hidden.split(size), targets.split(size), strict=True)
        losses, rights = zip(*(checkpoint(part, *each, use_reentrant=False) for each in parts), strict=True)
        return torch.stack(losses).sum(), torch.stack(rights).sum()

    def __call__(self, hidden: torch.Tensor, labels: torch.Tensor, head: nn.Linear) -> dict[str, torch.Tensor]:
        """Sum of losses and counts.

        Args:
            hidden: (batch, length, width), last hidden states.
            labels: int64 (batch, length), aligned with the inputs, -100 where there is none.
            head: output embedding.

        Returns:
            scalars ``index_loss_sum``, ``text_loss_sum`` (float32, with gradient), ``index_count``, ``text_count``,
            ``index_correct`` (int64).
        """
        hidden, labels = hidden[:, :-1], labels[:, 1:]
        labelled = labels != -100
        hidden, labels = hidden[labelled], labels[labelled]
        # Read once: around adapters of single rows every reading merges a matrix.
        weight, bias = head.weight, head.bias if isinstance(head, nn.Linear) else None
        # Zero that still hangs on every parameter: a batch without one kind of label must not leave DDP waiting.
        zero = hidden.sum() * 0.0 + weight[:1].sum() * 0.0
        sums = {"index": zero.float(), "text": zero.float()}
        counts = {"index": labels.new_zeros(()), "text": labels.new_zeros(())}
        correct = labels.new_zeros(())
        remaining = torch.ones_like(labels, dtype=torch.bool)
        for level in range(len(self.level_ids)):
            ids = self.level_ids[level].to(labels.device)
            chosen = torch.isin(labels, ids) if not _contiguous(ids) else (labels >= ids[0]) & (labels <= ids[-1])
            remaining &= ~chosen
            if not chosen.any():
                continue
            if self.index_loss == "vocab":
                rows, level_bias, targets = weight, bias, labels[chosen]
            else:
                rows, level_bias = self._level_rows(weight, level), None if bias is None else bias[ids]
                targets = torch.searchsorted(ids, labels[chosen])
            loss, right = self._sum(hidden[chosen], rows, level_bias, targets)
            sums["index"], counts["index"] = sums["index"] + loss, counts["index"] + len(targets)
            correct = correct + right
        if remaining.any():
            loss, _ = self._sum(hidden[remaining], weight, bias, labels[remaining])
            sums["text"], counts["text"] = sums["text"] + loss, remaining.sum()
        return {
            "index_loss_sum": sums["index"],
            "text_loss_sum": sums["text"],
            "index_count": counts["index"],
            "text_count": counts["text"],
            "index_correct": correct,
        }


def _contiguous(ids: torch.Tensor) -> bool:
    return int(ids[-1]) - int(ids[0]) == len(ids) - 1


def add_index_loss(model: PreTrainedModel, loss: IndexLoss) -> None:
    """Let ``model(..., labels=labels, index_loss=True)`` return the sums of `IndexLoss` instead of logits.

    They are computed inside the head's own forward, within the model's: wrappers (DDP, DeepSpeed, FSDP) see every
    parameter in use, and those that spread weights gather the head's when it is called. Without ``index_loss=True``
    both are what they were.

    Raises:
        ValueError: the output embedding is not a plain linear layer.
    """
    head = model.get_output_embeddings()
    if not isinstance(getattr(head, "weight", None), torch.Tensor):
        raise ValueError(f"{type(model).__name__}: the index loss needs a linear output embedding")
    model_forward, head_forward = model.forward, head.forward

    @functools.wraps(type(model).forward)
    def forward(self, *args, index_loss: bool = False, **kwargs):
        if not index_loss:
            return model_forward(*args, **kwargs)
        labels = kwargs.pop("labels")
        hidden = self.base_model(*args, use_cache=False, **kwargs).last_hidden_state
        return head(hidden, index_labels=labels)

    @functools.wraps(type(head).forward)
    def project(self, *args, index_labels: torch.Tensor | None = None, **kwargs):
        return head_forward(*args, **kwargs) if index_labels is None else loss(*args, index_labels, self)

    model.forward = types.MethodType(forward, model)
    head.forward = types.MethodType(project, head)
