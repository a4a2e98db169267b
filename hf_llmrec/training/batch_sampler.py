"""Batches of rows of similar length, equally many in every epoch, determined by (seed, epoch) alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from torch.utils.data import Sampler


class LengthGroupedBatchSampler(Sampler):
    """Yields batches as lists of row numbers.

    Rows are sorted by length with ties broken at random and cut into consecutive batches, and the batches are shuffled.
    There is hardly any padding, and the composition of batches changes from epoch to epoch.

    Args:
        lengths: ``lengths(epoch)`` returns int (n,), the tokens of every row.
        batch_size: rows per batch; exactly one of ``batch_size`` and ``tokens_per_batch`` must be given.
        tokens_per_batch: tokens per batch, whatever the number of rows.
        seed: determines the order together with the epoch.
        num_processes: the number of batches is a multiple of this, so that no process idles or repeats rows.
        group: number of consecutive batches that stay together when batches are shuffled; the number of batches is a
            multiple of it, too. With the number of batches of one optimizer step, two processes see in a step what one
            process with batches of twice the size sees.
        on_epoch: called with the epoch number whenever the epoch is set.

    Attributes:
        is_finished: if set, no more batches are yielded.

    Raises:
        ValueError: both or neither of the two sizes, no rows, fewer tokens per batch than a row has on average, or
            fewer rows than batches, whose number has to be a multiple of ``num_processes`` and ``group``.
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
        first = np.asarray(lengths(0))
        if not len(first):
            raise ValueError("there are no training rows")
        if batch_size is not None and tokens_per_batch is None:
            needed = len(first) / batch_size
        elif tokens_per_batch is not None and batch_size is None:
            needed = float(first.sum()) / tokens_per_batch
        else:
            raise ValueError("give exactly one of batch_size and tokens_per_batch")
        self.lengths, self.seed, self.epoch, self._on_epoch = lengths, seed, 0, on_epoch
        unit = math.lcm(num_processes, group)
        batches = math.ceil(math.ceil(needed) / unit) * unit
        if needed > len(first):
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
        """Choose the epoch whose batches are yielded next.

        Args:
            epoch: from 0.
        """
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
