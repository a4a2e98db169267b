"""A first-in-first-out queue of keys whose newest entries replace the oldest (MoCo, arXiv 1911.05722)."""

from __future__ import annotations

import torch
from torch import nn


class MomentumQueue(nn.Module):
    """Keys of one kind and the entities they belong to, in a ring buffer of fixed length.

    The buffers are part of ``state_dict``, so a resumed run continues with the same keys.

    Args:
        length: capacity, in entries.
        dim: width of the keys.

    Attributes:
        length: capacity, in entries.
        keys: float32 (length, dim).
        ids: int64 (length,), the entity of each key; -1 for empty entries.
        added_at: int64 (length,), the number of the `enqueue` call that wrote each entry.
        pointer: int64 (), the entry that is written next.
        calls: int64 (), how many times `enqueue` was called.

    Raises:
        ValueError: a length or width below 1.
    """

    keys: torch.Tensor
    ids: torch.Tensor
    added_at: torch.Tensor
    pointer: torch.Tensor
    calls: torch.Tensor

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
        """Add keys; if there are more than ``length``, the last ones stay.

        With several processes, each must add the same keys, gathered beforehand.

        Args:
            keys: float (n, dim), n >= 0.
            ids: int64 (n,), the entity of each key.

        Raises:
            ValueError: shapes that do not match, or a negative entity id.
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
        """The filled entries: keys float32 (m, dim) and ids int64 (m,), m <= length; copies, unchanged by `enqueue`."""
        filled = self.ids >= 0  # from the first entry on
        count = int(filled.sum())
        return self.keys[:count].clone(), self.ids[:count].clone()

    @property
    def fill(self) -> float:
        """Share of the entries that hold a key."""
        return float((self.ids >= 0).float().mean())

    @property
    def age(self) -> float:
        """Mean number of `enqueue` calls since the keys were written; 0 for an empty queue."""
        filled = self.ids >= 0
        return float((self.calls - self.added_at[filled]).float().mean()) if filled.any() else 0.0


def matches(ids: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Find where ids occur in rows.

    A binary search that returns pairs: matches are few, and a mask (n, m) would cost more than the loss it serves.

    Args:
        ids: int64 (m,), may hold duplicates.
        rows: int64 (n, w), padded with a number that is no id.

    Returns:
        Pairs (row of ``rows``, position in ``ids``), int64 (k,) each, without duplicates.
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
    # A row may hold the same id twice.
    pairs = torch.unique(row.repeat_interleave(counts) * len(ids) + columns)
    return pairs // len(ids), pairs % len(ids)
