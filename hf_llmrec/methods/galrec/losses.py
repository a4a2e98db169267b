"""The graph-aware contrastive losses of GAL-Rec, which align read-outs of users and items across hops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import cast

import torch
from torch import nn

from ...losses.info_nce import InfoNCEOutput, alignment, info_nce, uniformity
from ...losses.momentum_queue import MomentumQueue, matches

# Which read-outs make a positive pair; the digit is the number of hops that a read-out has seen.
ALIGNMENTS: dict[str, tuple[str, str]] = {
    "user_to_user": ("user_0", "user_2"),
    "user_to_item": ("user_0", "item_0"),
    "history_to_item": ("user_1", "item_0"),
    "neighborhood": ("user_2", "item_1"),
}
# E_t^1 reads several users: its segment is the longest, and its gradients would cost as much as everything else.
_ONLY_KEYS = {"item_1"}
# Read-outs of short segments, which every pair has; the others belong to the sequences of the examples.
_SHORT = {"user_0", "item_0"}
# Uniformity compares all pairs of vectors, so it is measured on at most this many.
_MOST_VECTORS = 512


def check_weights(weights: Mapping[str, float]) -> None:
    """Validate loss weights.

    Args:
        weights: by the names in `ALIGNMENTS`.

    Raises:
        ValueError: an unknown loss, or a weight that is no number or negative.
    """
    are_numbers = all(isinstance(weight, (int, float)) for weight in weights.values())
    if not are_numbers or set(weights) - set(ALIGNMENTS) or any(weight < 0 for weight in weights.values()):
        raise ValueError(f"loss_weights must be non-negative numbers for {sorted(ALIGNMENTS)}, got {dict(weights)}")


@dataclass
class PairBatch:
    """The user-item pairs of a batch, and which entities are false negatives for them.

    Below, n is the number of pairs, and lists of ids are padded with -1. A batch of m examples has n >= m pairs: with
    `examples`, the pairs beyond those of the examples have E_u^0 and E_t^0 only.

    Attributes:
        users: int64 (n,), the user of each pair.
        items: int64 (n,), the item of each pair.
        known_items: int64 (n, a), items that each user is linked to.
        known_users: int64 (n, b), the user itself and its neighbours.
        item_known_users: int64 (n, c), users that each item is linked to.
        has_pair: bool (n,), whether the pair may be trained on.
        has_audience: bool (n,), whether item_1 has read any user.
        examples: int64 (m,), which pairs are those of the examples and their targets; ``None``: all.
    """

    users: torch.Tensor
    items: torch.Tensor
    known_items: torch.Tensor
    known_users: torch.Tensor
    item_known_users: torch.Tensor
    has_pair: torch.Tensor
    has_audience: torch.Tensor
    examples: torch.Tensor | None = None

    def of_examples(self) -> PairBatch:
        """The m pairs of the examples alone."""
        if self.examples is None:
            return self
        names = (field.name for field in fields(self) if field.name != "examples")
        return PairBatch(**{name: getattr(self, name)[self.examples] for name in names})

    def ids(self, kind: str) -> torch.Tensor:
        """The entities that read-outs belong to.

        Args:
            kind: of read-out, such as ``user_0``.

        Returns:
            int64 (n,), -1 where the read-out must not become a key.
        """
        if kind.startswith("user"):
            return self.users
        return self.items if kind == "item_0" else self.items.masked_fill(~self.has_audience, -1)

    def false_negatives(self, query: str, key: str) -> torch.Tensor:
        """The entities whose keys must not be negatives of each pair's query.

        Args:
            query: kind of read-out of the queries.
            key: kind of read-out of the keys.

        Returns:
            int64 (n, k), padded with -1.

        Raises:
            ValueError: both kinds are of items.
        """
        if query.startswith("user"):
            return self.known_users if key.startswith("user") else self.known_items
        if key.startswith("item"):
            raise ValueError(f"no alignment joins {query} and {key}")
        return self.item_known_users

    def valid(self, *kinds: str) -> torch.Tensor:
        """Which pairs a loss may use.

        Args:
            kinds: of the read-outs that the loss compares.

        Returns:
            bool (n,).
        """
        if not any(kind.startswith("item") for kind in kinds):
            return torch.ones_like(self.has_pair)
        return self.has_pair & self.has_audience if "item_1" in kinds else self.has_pair


@dataclass
class _ReadOuts:
    """Queries and keys by kind, float (n, dim) each, and the pairs that their rows belong to."""

    queries: Mapping[str, torch.Tensor]
    keys: Mapping[str, torch.Tensor]
    pairs: PairBatch

    def of_examples(self) -> _ReadOuts:
        """The read-outs of the examples' own pairs; long ones exist for these only and stay as they are."""
        examples = self.pairs.examples
        if examples is None:
            return self
        queries, keys = (
            {kind: vectors[examples] if kind in _SHORT else vectors for kind, vectors in side.items()}
            for side in (self.queries, self.keys)
        )
        return _ReadOuts(queries, keys, self.pairs.of_examples())


@dataclass
class _Contrast:
    """InfoNCE from one kind of read-out to another, on the pairs that it may use.

    Attributes:
        loss: float (), with gradient; averaged over processes, it is the mean over the pairs of all of them.
        output: of InfoNCE, over this process's pairs.
        queries: float (k, dim).
        positives: float (k, dim).
    """

    loss: torch.Tensor
    output: InfoNCEOutput
    queries: torch.Tensor
    positives: torch.Tensor

    def logs(self) -> dict[str, float]:
        """How close queries are to their positives and negatives."""
        has_pairs = len(self.queries) > 0
        return {
            "positive": float(self.output.positive_similarity),
            "negative": float(self.output.negative_similarity),
            "alignment": float(alignment(self.queries.detach(), self.positives)) if has_pairs else 0.0,
        }


class GraphAlignment(nn.Module):
    """Weighted sum of InfoNCE losses between read-outs, with keys of a momentum encoder in one queue per kind.

    A queue is filled after the loss is computed, so a query never meets its own key in it.

    Args:
        weights: of the losses, by name in `ALIGNMENTS`; those without a positive weight are not computed.
        dim: width of the projected read-outs.
        queue_lengths: of the queues of ``user`` and ``item`` keys; 0: no queue, negatives are the batch's other keys.
        temperature: of InfoNCE.
        symmetric: use each side of a pair as the query once, so that both sides get gradients. E_t^1, whose segment is
            the longest, only ever gives keys.

    Attributes:
        weights: the positive weights, by name in `ALIGNMENTS`.
        directions: (query kind, key kind) pairs that are compared, by name in `ALIGNMENTS`.
        query_kinds: kinds of read-outs that are used as queries.
        key_kinds: kinds of read-outs that are used as keys.
        queues: a `MomentumQueue` for each kind of key that has one.

    Raises:
        ValueError: an unknown loss, a negative weight, or no loss at all.

    Example:
        ```python
        losses = GraphAlignment({"history_to_item": 0.1}, dim=128, queue_lengths={"user": 0, "item": 4096})
        loss, logs = losses(queries, keys, pairs)   # read-outs by kind, float (n, 128)
        ```
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        dim: int,
        *,
        queue_lengths: Mapping[str, int],
        temperature: float = 0.07,
        symmetric: bool = True,
    ):
        super().__init__()
        check_weights(weights)
        self.weights = {name: float(weights[name]) for name in ALIGNMENTS if weights.get(name, 0) > 0}
        if not self.weights:
            raise ValueError("loss_weights: no loss has a positive weight")
        self.temperature = temperature
        self.directions = {name: [ALIGNMENTS[name]] for name in self.weights}
        for name, directions in self.directions.items():
            first, second = ALIGNMENTS[name]
            if symmetric and second not in _ONLY_KEYS:
                directions.append((second, first))
        self.query_kinds = _in_order([query for directions in self.directions.values() for query, _ in directions])
        self.key_kinds = _in_order([key for directions in self.directions.values() for _, key in directions])
        lengths = {kind: queue_lengths[kind.split("_")[0]] for kind in self.key_kinds}
        self.queues = nn.ModuleDict(
            {kind: MomentumQueue(length, dim) for kind, length in lengths.items() if length > 0}
        )

    def forward(
        self,
        queries: Mapping[str, torch.Tensor],
        keys: Mapping[str, torch.Tensor],
        pairs: PairBatch,
        gather: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor,
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Compute the weighted loss, then enqueue the keys.

        Args:
            queries: float tensors with gradient for each of `query_kinds`: (n, dim) for ``user_0`` and ``item_0``,
                (m, dim) for the others.
            keys: the same for each of `key_kinds`, from the momentum encoder.
            pairs: the pairs that the rows belong to.
            gather: concatenates a tensor over processes, rows of the first process first; default: one process.

        Returns:
            The loss, float (), and values to log. Averaged over processes, the loss is the mean over the pairs of all
            of them.
        """
        keys = {kind: keys[kind].detach().float() for kind in self.key_kinds}
        readouts = _ReadOuts(queries, keys, pairs)
        # Long read-outs are compared with the short ones of the examples' own pairs.
        of_examples = readouts.of_examples()
        owners = {kind: (readouts if kind in _SHORT else of_examples).pairs.ids(kind) for kind in self.key_kinds}
        gathered = {kind: (gather(keys[kind]), gather(owners[kind])) for kind in self.key_kinds}
        candidates = {kind: (vectors[ids >= 0], ids[ids >= 0]) for kind, (vectors, ids) in gathered.items()}
        logs: dict[str, float] = {}
        total = torch.zeros((), device=pairs.users.device)
        for name, weight in self.weights.items():
            compared = readouts if _SHORT.issuperset(ALIGNMENTS[name]) else of_examples
            contrasts = [
                self._contrast(query, key, compared, candidates[key], gather) for query, key in self.directions[name]
            ]
            loss = torch.stack([contrast.loss for contrast in contrasts]).mean()
            total = total + weight * loss
            logs |= {f"{name}_{part}": value for part, value in contrasts[0].logs().items()}
            logs[f"{name}_loss"] = float(loss.detach())
        with torch.no_grad():
            for kind in self.query_kinds:
                logs[f"{kind}_uniformity"] = float(uniformity(queries[kind][:_MOST_VECTORS].detach()))
            for kind in self.queues:
                queue = self._queue(kind)
                queue.enqueue(*candidates[kind])
                logs[f"{kind}_queue_fill"], logs[f"{kind}_queue_age"] = queue.fill, queue.age
        return total, logs

    def _queue(self, kind: str) -> MomentumQueue:
        # A ModuleDict does not know the type of its modules.
        return cast(MomentumQueue, self.queues[kind])

    def _contrast(
        self,
        query: str,
        key: str,
        readouts: _ReadOuts,
        candidates: tuple[torch.Tensor, torch.Tensor],
        gather: Callable[[torch.Tensor], torch.Tensor],
    ) -> _Contrast:
        """InfoNCE from queries of one kind to keys of another.

        Negatives come from the kind's queue, or, without one, from ``candidates``: the keys of all processes' batches,
        float (c, dim), and their entities, int64 (c,).
        """
        pairs = readouts.pairs
        valid = pairs.valid(query, key)
        queries, positives = readouts.queries[query][valid], readouts.keys[key][valid]
        negatives, ids = self._queue(key).entries if key in self.queues else candidates
        excluded = matches(ids, pairs.false_negatives(query, key)[valid])
        output = info_nce(queries, positives, negatives, temperature=self.temperature, excluded=excluded)
        # The mean over the pairs of all processes, which may have different numbers of them.
        counts = gather(valid.sum().view(1))
        share = valid.sum() * len(counts) / counts.sum().clamp_min(1)
        return _Contrast(output.loss * share, output, queries, positives)


def _in_order(kinds: list[str]) -> tuple[str, ...]:
    return tuple(sorted(set(kinds), reverse=True))
