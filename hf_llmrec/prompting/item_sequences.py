"""The training and evaluation rows of SASRec: windows of item rows in which every position has a target."""

from __future__ import annotations

import numpy as np

from ..data.epoch_dataset import EpochDataset
from ..data.splits import EvalCases, RecSplit

IGNORE = -100


class ItemSequenceDataset(EpochDataset):
    """Rows ``{"input_ids", "labels"}`` of training sequences; the label of each item is the item that follows it.

    A sequence with more than ``max_length`` targets is cut into several rows, starting from its end, so that every
    interaction except a user's first is a target once per epoch.

    Args:
        split: provides the training sequences.
        max_length: largest number of items per row.
        item_dropout: probability in [0, 1) with which an item of a row is left out in an epoch, as input and as target.
        seed: seed of the dropout, together with the epoch and the row.

    Raises:
        ValueError: ``item_dropout`` is outside [0, 1), or no user has two training interactions.
    """

    def __init__(self, split: RecSplit, *, max_length: int = 50, item_dropout: float = 0.0, seed: int = 0):
        if not 0 <= item_dropout < 1:
            raise ValueError(f"item_dropout must lie in [0, 1), got {item_dropout}")
        super().__init__()
        self.items, self.item_dropout, self.seed = split.train_indices, item_dropout, seed
        begin, end = split.train_indptr[:-1].astype(np.int64), split.train_indptr[1:].astype(np.int64)
        windows = np.maximum(end - begin - 2 + max_length, 0) // max_length  # ceil(targets / max_length)
        user = np.repeat(np.arange(len(begin)), windows)
        number = np.arange(len(user)) - np.repeat(np.cumsum(windows) - windows, windows)
        self.stops = end[user] - number * max_length
        self.starts = np.maximum(self.stops - max_length - 1, begin[user])
        if not len(self.stops):
            raise ValueError("no user has two training interactions: there is nothing to predict")

    def __len__(self) -> int:
        return len(self.stops)

    def lengths(self, epoch: int) -> np.ndarray:
        """Number of targets per row before item dropout, int64 (rows,).

        Args:
            epoch: makes no difference here.
        """
        return self.stops - self.starts - 1

    def target_counts(self, num_items: int) -> np.ndarray:
        """How often each item is a target in an epoch without dropout, int64 (num_items,).

        Args:
            num_items: number of items in the catalogue.
        """
        inside = np.zeros(len(self.items) + 1, dtype=np.int64)
        np.add.at(inside, self.starts + 1, 1)
        np.add.at(inside, self.stops, -1)
        return np.bincount(self.items, weights=np.cumsum(inside)[:-1], minlength=num_items).astype(np.int64)

    def build(self, slot: int, epoch: int) -> dict[str, np.ndarray]:
        """Build one row: ``input_ids`` and ``labels``, int64 (length,) each.

        Args:
            slot: number of the row, from 0.
            epoch: number of the epoch, from 0; determines the dropout.
        """
        items = self.items[self.starts[slot] : self.stops[slot]].astype(np.int64)
        if self.item_dropout > 0:
            keep = np.random.default_rng((self.seed, epoch, slot)).random(len(items)) >= self.item_dropout
            if keep.sum() >= 2:
                items = items[keep]
        return {"input_ids": items[:-1], "labels": items[1:]}


class ItemSequenceEvalDataset(EpochDataset):
    """Rows of evaluation cases: the history, with a label at its last item only. Empty histories are left out.

    Args:
        cases: the evaluation cases.
        max_length: largest number of items per row; longer histories lose their oldest items.
    """

    def __init__(self, cases: EvalCases, *, max_length: int = 50):
        super().__init__()
        self.cases, self.max_length = cases, max_length
        self.numbers = np.array([i for i in range(len(cases)) if len(cases.histories[i])], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.numbers)

    def lengths(self, epoch: int) -> np.ndarray:
        """Number of items per row, int64 (rows,).

        Args:
            epoch: makes no difference here.
        """
        return np.array([min(len(self.cases.histories[i]), self.max_length) for i in self.numbers], dtype=np.int64)

    def build(self, slot: int, epoch: int) -> dict[str, np.ndarray]:
        """Build one row: ``input_ids`` and ``labels``, int64 (length,) each.

        Args:
            slot: number of the row, from 0.
            epoch: makes no difference here.
        """
        number = self.numbers[slot]
        items = self.cases.histories[number][-self.max_length :].astype(np.int64)
        labels = np.full(len(items), IGNORE)
        labels[-1] = self.cases.targets[number]
        return {"input_ids": items, "labels": labels}
