"""Batches of rows of similar length, the same number of them in every epoch, from (seed, epoch) alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from torch.utils.data import Sampler


class LengthGroupedBatchSampler(Sampler):
    """Yields lists of row numbers.

    Rows are ordered by their length with random ties and cut into consecutive batches, and the batches are shuffled:
    hardly any padding, and which rows meet changes from epoch to epoch.

    Args:
        lengths: ``lengths(epoch)`` gives int (n,) tokens per row.
        batch_size: rows per batch, or
        tokens_per_batch: so many tokens per batch, whatever the number of rows. Exactly one of the two.
        seed: fixes the order.
        num_processes: the number of batches is a multiple of this, so that no process idles or repeats rows.
        group: so many consecutive batches stay together when batches are shuffled, and their number is a multiple of
            it, too. With as many as one optimizer step takes, two processes see in a step what one process with
            batches of twice the size sees.
        on_epoch: called with the epoch number when it is set.

    Attributes:
        is_finished: when set, no more batches are yielded.

    Raises:
        ValueError: both or neither of the two sizes, no rows, fewer tokens per batch than a row has on average, or
            fewer rows than a multiple of ``num_processes`` and ``group`` needs.
    """

    # accelerate shards batch samplers of unknown size only with even_batches=False; the count is even by construction.
    batch_size: int | None = None
    drop_last = False

    def __init__(
        self,
        lengths: Callable[[int], np.ndarray],
        *,
        batch_size: int | None = None,
        tokens_per_batch: int | None = None,
        seed: int = 0,
        num_processes: int = 1,
        group: int = 1,
        on_epoch: Callable[[int], None] | None = None,
    ):
        if (batch_size is None) == (tokens_per_batch is None):
            raise ValueError("give exactly one of batch_size and tokens_per_batch")
        first = np.asarray(lengths(0))
        if not len(first):
            raise ValueError("there are no training rows")
        self.lengths, self.seed, self.epoch, self._on_epoch = lengths, seed, 0, on_epoch
        wanted = len(first) / batch_size if batch_size is not None else float(first.sum()) / tokens_per_batch
        unit = math.lcm(num_processes, group)
        batches = math.ceil(math.ceil(wanted) / unit) * unit
        if wanted > len(first):
            raise ValueError(
                f"tokens_per_batch {tokens_per_batch} is less than the {first.mean():.4g} tokens that a training row "
                "has on average (a batch holds whole rows): raise it"
            )
        if batches > len(first):
            raise ValueError(
                f"{len(first)} training rows cannot be cut into {batches} batches, a multiple of {unit} as "
                f"{num_processes} processes and the batches of one step need: use fewer processes, or accumulate fewer "
                "batches"
            )
        self._num_batches, self._group = batches, group
        self.is_finished = False
        self._by_tokens = tokens_per_batch is not None
        self.sampler = self  # where accelerate and transformers look for `set_epoch`

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches are yielded next."""
        self.epoch = int(epoch)
        if self._on_epoch is not None:
            self._on_epoch(self.epoch)

    def __len__(self) -> int:
        return self._num_batches

    def __iter__(self) -> Iterator[list[int]]:
        if self.is_finished:
            return
        rng = np.random.default_rng((self.seed, self.epoch))
        lengths = np.asarray(self.lengths(self.epoch), dtype=np.float64)
        order = np.argsort(lengths + rng.random(len(lengths)), kind="stable")
        if self._by_tokens:
            total = np.cumsum(lengths[order])
            shares = np.linspace(0, total[-1], self._num_batches + 1)[1:-1]
            cuts = np.searchsorted(total, shares, side="left")
            # A single very long row may swallow a share: keep every batch non-empty.
            cuts = np.maximum(cuts, np.arange(1, self._num_batches))
            cuts = np.minimum(cuts, len(order) - np.arange(self._num_batches - 1, 0, -1))
            cuts = np.maximum.accumulate(cuts)
        else:
            cuts = np.linspace(0, len(order), self._num_batches + 1)[1:-1].astype(np.int64)
        batches = np.split(order, cuts)
        for index in rng.permutation(self._num_batches // self._group):
            for batch in batches[index * self._group : (index + 1) * self._group]:
                yield batch.tolist()
