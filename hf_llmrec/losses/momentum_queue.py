"""A first-in-first-out queue of keys, whose newest entries replace the oldest (MoCo, arXiv 1911.05722)."""

from __future__ import annotations

import torch
from torch import nn


class MomentumQueue(nn.Module):
    """Keys of one kind with the entities they belong to, in a ring of fixed length.

    Its state is in ``state_dict``: a resumed run goes on with the keys it had.

    Args:
        length: entries kept.
        dim: width of the keys.

    Attributes:
        keys: float32 (length, dim). ids: int64 (length,), the entity of each key, -1 where there is none yet.
        added_at: int64 (length,), the number of the `enqueue` call that wrote each entry.
    """

    def __init__(self, length: int, dim: int):
        super().__init__()
        if length < 1 or dim < 1:
            raise ValueError(f"length and dim must be positive, got {length} and {dim}")
        self.length = length
        self.register_buffer("keys", torch.zeros(length, dim))
        self.register_buffer("ids", torch.full((length,), -1))
        self.register_buffer("added_at", torch.zeros(length, dtype=torch.long))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, keys: torch.Tensor, ids: torch.Tensor) -> None:
        """Add keys float (n, dim) of entities int64 (n,), n >= 0; of more than ``length`` the last ones stay.

        Under several processes all must add the same keys, gathered before.

        Raises:
            ValueError: shapes that do not fit, or an entity id below 0.
        """
        if keys.dim() != 2 or keys.shape[1] != self.keys.shape[1] or ids.shape != keys.shape[:1]:
            raise ValueError(
                f"keys must be (n, {self.keys.shape[1]}) and ids (n,), got {tuple(keys.shape)} and {tuple(ids.shape)}"
            )
        if len(ids) and int(ids.min()) < 0:
            raise ValueError("entity ids must not be negative: -1 marks empty places")
        self.calls += 1
        count = len(keys)
        first = max(count - self.length, 0)
        places = (self.pointer + torch.arange(first, count, device=self.keys.device)) % self.length
        self.keys[places] = keys[first:].to(self.keys)
        self.ids[places] = ids[first:].to(self.ids)
        self.added_at[places] = self.calls
        self.pointer.copy_((self.pointer + count) % self.length)

    def barred(self, known: torch.Tensor) -> torch.Tensor:
        """Which entries are no negatives: empty ones, and those of entities that a query is joined to.

        Args:
            known: int64 (n, k), entities per query (its positive, itself, its training neighbours), padded with -1.

        Returns:
            bool (n, length).
        """
        return (self.ids < 0) | contained(self.ids, known)

    @property
    def fill(self) -> float:
        """Share of places that hold a key."""
        return float((self.ids >= 0).float().mean())

    @property
    def age(self) -> float:
        """How many `enqueue` calls ago the keys were written, on average; 0 for an empty queue."""
        held = self.ids >= 0
        return float((self.calls - self.added_at[held]).float().mean()) if held.any() else 0.0


def contained(ids: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """bool (n, m), whether each of ids int64 (m,) stands in each of rows int64 (n, k).

    By binary search and scatter: comparing all with all would take n * m * k.
    """
    unique, inverse = torch.unique(ids, return_inverse=True)
    if not len(unique) or not rows.shape[1]:
        return torch.zeros(len(rows), len(ids), dtype=torch.bool, device=ids.device)
    place = torch.searchsorted(unique, rows.contiguous()).clamp_max(len(unique) - 1)
    place = torch.where(unique[place] == rows, place, len(unique))
    found = torch.zeros(len(rows), len(unique) + 1, dtype=torch.bool, device=ids.device)
    return found.scatter_(1, place, True)[:, inverse]
