"""The graph-aware contrastive losses of GAL-Rec: read-outs of users and items drawn together across hops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import torch
from torch import nn

from ...losses.info_nce import alignment, info_nce, uniformity
from ...losses.momentum_queue import MomentumQueue, matches

# Which read-outs make a positive pair; the digit is the number of hops that a read-out has seen.
ALIGNMENTS: dict[str, tuple[str, str]] = {
    "user_to_user": ("user_0", "user_2"),
    "user_to_item": ("user_0", "item_0"),
    "history_to_item": ("user_1", "item_0"),
    "neighborhood": ("user_2", "item_1"),
}
# E_t^1 reads several users: its segment is the longest, and giving it gradients would cost as much as all else.
_ONLY_KEYS = {"item_1"}
# Read-outs of short segments, which all pairs have; the others belong to examples' sequences.
_SHORT = {"user_0", "item_0"}
# Uniformity looks at all pairs of so many vectors at most.
_MOST_VECTORS = 512


def check_weights(weights: Mapping[str, float]) -> None:
    """Raises ``ValueError`` for a loss that does not exist, or a weight that is no number or below 0."""
    are_numbers = all(isinstance(weight, (int, float)) for weight in weights.values())
    if not are_numbers or set(weights) - set(ALIGNMENTS) or any(weight < 0 for weight in weights.values()):
        raise ValueError(f"loss_weights must be non-negative numbers for {sorted(ALIGNMENTS)}, got {dict(weights)}")


@dataclass
class PairBatch:
    """Who the pairs of a batch are, and what is no negative for them. n pairs; id lists are padded with -1.

    A batch of m examples has n >= m pairs: with `examples`, the others have E_u^0 and E_t^0 only.

    Attributes:
        users, items: int64 (n,).
        known_items: int64 (n, a), items that each user is joined to. known_users: int64 (n, b), the user itself and its
            neighbours.
        item_known_users: int64 (n, c), users that each item is joined to.
        has_pair: bool (n,), whether the pair may be trained on. has_audience: bool (n,), whether item_1 saw users.
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
        """int64 (n,), the entities of a kind of read-out, -1 where it must not become a key."""
        if kind.startswith("user"):
            return self.users
        return self.items if kind == "item_0" else self.items.masked_fill(~self.has_audience, -1)

    def known(self, query: str, key: str) -> torch.Tensor:
        """int64 (n, k), entities of ``key``'s side that are no negatives of ``query``'s."""
        if query.startswith("user"):
            return self.known_users if key.startswith("user") else self.known_items
        if key.startswith("item"):
            raise ValueError(f"no alignment joins {query} and {key}")
        return self.item_known_users

    def valid(self, *kinds: str) -> torch.Tensor:
        """bool (n,), pairs that a loss between these kinds may use."""
        if not any(kind.startswith("item") for kind in kinds):
            return torch.ones_like(self.has_pair)
        return self.has_pair & self.has_audience if "item_1" in kinds else self.has_pair


class GraphAlignment(nn.Module):
    """Weighted sum of InfoNCE losses between read-outs, with keys of a momentum encoder in one queue per kind.

    Args:
        weights: of the losses, by name in `ALIGNMENTS`; those without a positive weight are not computed.
        dim: width of the projected read-outs.
        queue_lengths: of the queues of ``user`` and ``item`` keys; 0: no queue, negatives are the batch's other keys.
        temperature: of InfoNCE.
        symmetric: let each side of a pair be the query once, so that both sides get gradients (but E_t^1, whose segment
            is the longest: it gives keys only).

    A queue is filled after the loss: a query never meets its own key in it.

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
        for name, ways in self.directions.items():
            first, second = ALIGNMENTS[name]
            if symmetric and second not in _ONLY_KEYS:
                ways.append((second, first))
        self.query_kinds = _in_order([query for ways in self.directions.values() for query, _ in ways])
        self.key_kinds = _in_order([key for ways in self.directions.values() for _, key in ways])
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
        """The weighted loss float (), and what is logged; then the keys are enqueued.

        Args:
            queries: per kind of `query_kinds` float, with gradient: (n, dim) of ``user_0`` and ``item_0``, (m, dim) of
                the others.
            keys: per kind of `key_kinds` the same, of the momentum encoder.
            pairs: whose they are.
            gather: concatenates a tensor over processes, rows of the first process first. Averaged over processes, the
                loss is the mean over the pairs of all of them.
        """
        keys = {kind: keys[kind].detach().float() for kind in self.key_kinds}
        whole, targets = (queries, keys, pairs), pairs.of_examples()
        # What the long read-outs are compared with: of the short ones, those of the examples' own pairs.
        alone = (_of_examples(queries, pairs), _of_examples(keys, pairs), targets)
        owners = {kind: (pairs if kind in _SHORT else targets).ids(kind) for kind in self.key_kinds}
        everyone = {kind: (gather(keys[kind]), gather(owners[kind])) for kind in self.key_kinds}
        everyone = {kind: (vectors[ids >= 0], ids[ids >= 0]) for kind, (vectors, ids) in everyone.items()}
        logs: dict[str, float] = {}
        total = torch.zeros((), device=pairs.users.device)
        for name, weight in self.weights.items():
            ways = self.directions[name]
            view = whole if _SHORT.issuperset(ALIGNMENTS[name]) else alone
            losses = [self._direction(name, *way, *view, everyone, gather, logs) for way in ways]
            total = total + weight * torch.stack(losses).mean()
            logs[f"{name}_loss"] = float(torch.stack(losses).detach().mean())
        with torch.no_grad():
            for kind in self.query_kinds:
                logs[f"{kind}_uniformity"] = float(uniformity(queries[kind][:_MOST_VECTORS].detach()))
            for kind, queue in self.queues.items():
                queue.enqueue(*everyone[kind])
                logs[f"{kind}_queue_fill"], logs[f"{kind}_queue_age"] = queue.fill, queue.age
        return total, logs

    def _direction(self, name, query, key, queries, keys, pairs, everyone, gather, logs) -> torch.Tensor:
        valid = pairs.valid(query, key)
        known = pairs.known(query, key)[valid]
        asked, positives = queries[query][valid], keys[key][valid]
        negatives, ids = self.queues[key].entries if key in self.queues else everyone[key]
        barred = matches(ids, known)
        found = info_nce(asked, positives, negatives, temperature=self.temperature, barred=barred)
        # Means over all processes' pairs, of which each may have a different number.
        counts = gather(valid.sum().view(1))
        share = valid.sum() * len(counts) / counts.sum().clamp_min(1)
        if query == ALIGNMENTS[name][0]:
            logs[f"{name}_positive"] = float(found.positive_similarity)
            logs[f"{name}_negative"] = float(found.negative_similarity)
            logs[f"{name}_alignment"] = float(alignment(asked.detach(), positives)) if len(asked) else 0.0
        return found.loss * share


def _of_examples(vectors: Mapping[str, torch.Tensor], pairs: PairBatch) -> Mapping[str, torch.Tensor]:
    """Read-outs of the examples' own pairs; the long ones are theirs alone as they are."""
    if pairs.examples is None:
        return vectors
    return {kind: found[pairs.examples] if kind in _SHORT else found for kind, found in vectors.items()}


def _in_order(kinds: list[str]) -> tuple[str, ...]:
    return tuple(sorted(set(kinds), reverse=True))
