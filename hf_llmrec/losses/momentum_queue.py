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

    @property
    def entries(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What the queue holds, float32 (m, dim) keys and int64 (m,) ids, m <= length: a copy, later keys stay out."""
        held = self.ids >= 0  # filled from the first place on
        count = int(held.sum())
        return self.keys[:count].clone(), self.ids[:count].clone()

    @property
    def fill(self) -> float:
        """Share of places that hold a key."""
        return float((self.ids >= 0).float().mean())

    @property
    def age(self) -> float:
        """How many `enqueue` calls ago the keys were written, on average; 0 for an empty queue."""
        held = self.ids >= 0
        return float((self.calls - self.added_at[held]).float().mean()) if held.any() else 0.0


def matches(ids: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where ids stand in rows: pairs (row, place of the id), int64 (k,) each, none twice.

    By binary search, and as pairs: they are few, and a matrix of (n, m) would cost more than what it is for.

    Args:
        ids: int64 (m,), any of them several times. rows: int64 (n, w), padded with a number that is no id.
    """
    if not len(ids) or not rows.numel():
        return ids.new_zeros(0), ids.new_zeros(0)
    ordered, place = ids.sort(stable=True)
    unique, number = torch.unique_consecutive(ordered, return_counts=True)
    where = torch.searchsorted(unique, rows.contiguous()).clamp_max_(len(unique) - 1)
    row, column = (unique[where] == rows).nonzero(as_tuple=True)
    where = where[row, column]
    counts, first = number[where], (number.cumsum(0) - number)[where]
    ends = counts.cumsum(0)
    inside = torch.arange(int(counts.sum()), device=ids.device) - (ends - counts).repeat_interleave(counts)
    columns = place[first.repeat_interleave(counts) + inside]
    # A row may hold an id twice.
    pairs = torch.unique(row.repeat_interleave(counts) * len(ids) + columns)
    return pairs // len(ids), pairs % len(ids)
