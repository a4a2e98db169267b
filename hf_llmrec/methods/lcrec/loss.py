"""The language-model loss, computed at labelled positions only.

Without Triton, TRL's fused head scores every position over the full vocabulary. Here only labelled positions are
projected, and index tokens of level l can be scored against the codes of their level only: the level follows from the
position, so the rest of the vocabulary adds cost but no information.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from ...generation.item_trie import ItemTrie
from .trainer_config import INDEX_LOSSES

# Larger logits are computed in parts, and again in the backward pass. 2**27 numbers are half a GiB in float32.
MOST_LOGITS = 2**27


class IndexLoss:
    """Summed cross-entropy of labelled positions, separately for index and text tokens.

    Args:
        level_token_ids: per level, int64 (codes,), the vocabulary id of each code.
        index_loss: ``level`` normalises index tokens over the codes of their level, ``vocab`` over the full vocabulary
            (the paper's), ``children`` over the codes that follow the item's previous codes in ``trie``. Text tokens
            are always normalised over the full vocabulary.
        softcap: the architecture's final logit soft-capping; ``None``: it has none.
        level_weights: weight of each level's losses in ``loss_sum``, at least 0; they are divided by their mean.
            ``None``: all levels count the same.
        trie: the indices of all items; needed with ``children``.

    Raises:
        ValueError: unknown ``index_loss``, ``children`` without a trie, or other than one weight per level.
    """

    def __init__(
        self,
        level_token_ids: Sequence,
        index_loss: str = "level",
        softcap: float | None = None,
        level_weights: Sequence[float] | None = None,
        trie: ItemTrie | None = None,
    ):
        if index_loss not in INDEX_LOSSES:
            raise ValueError(f"index_loss must be one of {INDEX_LOSSES}, got {index_loss!r}")
        if index_loss == "children" and trie is None:
            raise ValueError("index_loss children needs the trie of the items' indices")
        if level_weights is not None and len(level_weights) != len(level_token_ids):
            raise ValueError(
                f"level_loss_weights must be one per level of the index, {len(level_token_ids)}, got "
                f"{list(level_weights)}"
            )
        self.trie = trie if index_loss == "children" else None
        self.level_weights: list[float] | None = None
        if level_weights is not None:
            mean = sum(level_weights) / len(level_weights)
            self.level_weights = [weight / mean for weight in level_weights]
        self.level_ids = [torch.as_tensor(ids, dtype=torch.long) for ids in level_token_ids]
        self.index_loss = index_loss
        self.softcap = softcap

    def _level_rows(self, weight: torch.Tensor, level: int) -> torch.Tensor:
        ids = self.level_ids[level]
        first, count = int(ids[0]), len(ids)
        # `LCRecTokenizer` gives the codes of a level consecutive ids: a view instead of a copy.
        if int(ids[-1]) - first == count - 1 and bool((ids[1:] > ids[:-1]).all()):
            return weight[first : first + count]
        return weight[ids.to(weight.device)]

    def _logits(self, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        logits = F.linear(hidden, weight, bias).float()
        return torch.tanh(logits / self.softcap) * self.softcap if self.softcap else logits

    def _parents(self, labels: torch.Tensor) -> list[torch.Tensor]:
        """Per level, int64 (batch, length): the trie's node before each label of the level, -1 at other places."""
        assert self.trie is not None
        self.trie = self.trie.to(labels.device)
        parents, reached = [], torch.full_like(labels, -1)
        for level, level_ids in enumerate(self.level_ids):
            ids = level_ids.to(labels.device)
            is_code = torch.isin(labels, ids)
            before = F.pad(reached[:, :-1], (1, 0), value=-1) if level else torch.zeros_like(labels)
            nodes = torch.where(is_code, before, -1)
            reached = self.trie.step(level, nodes, torch.searchsorted(ids, labels))
            if bool((is_code & (reached < 0)).any()):
                raise ValueError(
                    f"index_loss children: a code of level {level + 1} is labelled that no item has after the codes "
                    "before it"
                )
            parents.append(nodes)
        return parents

    def _children(self, level: int, parents: torch.Tensor) -> torch.Tensor:
        """Bool (n, codes), which codes of a level follow nodes, int64 (n,)."""
        assert self.trie is not None
        _, codes, is_child = self.trie.children(level, parents)
        follows = torch.zeros(len(parents), len(self.level_ids[level]), dtype=torch.bool, device=parents.device)
        rows = torch.arange(len(parents), device=parents.device).unsqueeze(1).expand_as(codes)
        follows[rows[is_child], codes[is_child]] = True
        return follows

    def _sum(
        self,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        allowed: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum the cross-entropy over (n, width) states, and count those whose target has the largest logit.

        ``allowed``, bool (n, rows), says over which rows the probabilities are normalised; ``None``: all.
        """

        def part(
            states: torch.Tensor, expected: torch.Tensor, chosen: torch.Tensor | None = None
        ) -> tuple[torch.Tensor, torch.Tensor]:
            logits = self._logits(states, weight, bias)
            if chosen is not None:
                logits = logits.masked_fill(~chosen, -torch.inf)
            correct = (logits.detach().argmax(-1) == expected).sum()
            return F.cross_entropy(logits, expected, reduction="sum"), correct

        size = max(MOST_LOGITS // len(weight), 1)
        if len(hidden) <= size:
            return part(hidden, targets, allowed)
        tensors = [hidden, targets] if allowed is None else [hidden, targets, allowed]
        parts = zip(*(tensor.split(size) for tensor in tensors), strict=True)
        losses, counts = zip(*(checkpoint(part, *each, use_reentrant=False) for each in parts), strict=True)
        return torch.stack(losses).sum(), torch.stack(counts).sum()

    def __call__(self, hidden: torch.Tensor, labels: torch.Tensor, head: nn.Module) -> dict[str, torch.Tensor]:
        """Compute sums of losses and counts.

        Args:
            hidden: (batch, length, width), last hidden states.
            labels: int64 (batch, length), aligned with the inputs, -100 where there is none.
            head: the output embeddings: a linear layer, possibly with adapters around it.

        Returns:
            scalars ``index_loss_sum``, ``text_loss_sum`` and their sum with the weights of the levels, ``loss_sum``
            (float32, with gradient); ``index_count``, ``text_count``, ``index_correct`` (int64).

        Raises:
            ValueError: with ``children``, a labelled code does not follow the codes of an item.
        """
        parents = None if self.trie is None else self._parents(labels)
        hidden, labels = hidden[:, :-1], labels[:, 1:]
        labelled = labels != -100
        hidden, labels = hidden[labelled], labels[labelled]
        # Read once: with adapters of single rows, every access merges them into the matrix.
        weight = cast(torch.Tensor, head.weight)  # `add_index_loss` has checked that
        bias = head.bias if isinstance(head, nn.Linear) else None
        # A zero that depends on every parameter: if a batch has one kind of label only, DDP still gets all gradients.
        zero = hidden.sum() * 0.0 + weight[:1].sum() * 0.0
        sums = {"index": zero.float(), "text": zero.float()}
        weighted = sums["index"]
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
            allowed = None
            if parents is not None:
                allowed = self._children(level, parents[level][:, 1:][labelled][chosen])
            loss, num_correct = self._sum(hidden[chosen], rows, level_bias, targets, allowed)
            if self.level_weights is not None:
                weighted = weighted + self.level_weights[level] * loss
            sums["index"], counts["index"] = sums["index"] + loss, counts["index"] + len(targets)
            correct = correct + num_correct
        if remaining.any():
            loss, _ = self._sum(hidden[remaining], weight, bias, labels[remaining])
            sums["text"], counts["text"] = sums["text"] + loss, remaining.sum()
        index_sum = sums["index"] if self.level_weights is None else weighted
        return {
            "loss_sum": index_sum + sums["text"],
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

    The sums are computed in the forward pass of the head, inside that of the model: wrappers (DDP, DeepSpeed, FSDP) see
    every parameter in use, and those that shard weights gather the head's weights when it is called. Without
    ``index_loss=True`` both forward passes are unchanged.

    Args:
        model: a causal language model; its ``forward`` and that of its output embeddings are replaced.
        loss: computes the sums.

    Raises:
        ValueError: the output embeddings have no matrix of weights.
    """
    head: nn.Module | None = model.get_output_embeddings()
    if head is None or not isinstance(getattr(head, "weight", None), torch.Tensor):
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
        return head_forward(*args, **kwargs) if index_labels is None else loss(args[0], index_labels, self)

    model.forward = types.MethodType(forward, model)
    head.forward = types.MethodType(project, head)
