"""`EpochDataset`: a map-style dataset whose rows are made when a batch asks for them, anew in every epoch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset


class EpochDataset(Dataset):
    """What the package's trainers train on: a map-style `torch.utils.data.Dataset` with `set_epoch`.

    Subclasses define ``__len__`` and `build`, and call ``super().__init__()``. A row follows from its number and the
    epoch alone, so that data-loader workers, several processes and resumed runs make the same rows.

    Example:
        ```python
        class Countdown(EpochDataset):
            def __len__(self):
                return 3

            def build(self, slot, epoch):
                return {"input_ids": list(range(slot + epoch, -1, -1))}


        rows = Countdown()
        rows.set_epoch(2)
        assert rows[1] == {"input_ids": [3, 2, 1, 0]}
        ```
    """

    def __init__(self):
        # Shared with worker processes: those that outlive an epoch must learn of the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch whose rows are read, from 0."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Read the rows of another epoch from now on.

        Args:
            epoch: from 0.
        """
        self._epoch.fill_(epoch)

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def build(self, slot: int, epoch: int) -> Mapping[str, Any]:
        """One row.

        Args:
            slot: its number, from 0.
            epoch: from 0.

        Returns:
            what the data collator reads: for language models ``input_ids`` and ``labels`` of equal length, -100 where
            nothing is to be learned.
        """

    def lengths(self, epoch: int) -> np.ndarray:
        """int64 (rows,): the length of every row, by which rows share batches and batches are sized.

        Args:
            epoch: from 0.
        """
        return np.array([len(self.build(slot, epoch)["input_ids"]) for slot in range(len(self))], dtype=np.int64)

    def __getitem__(self, slot: int) -> Mapping[str, Any]:
        if not 0 <= slot < len(self):
            raise IndexError(f"row {slot} of {len(self)}")
        return self.build(int(slot), self.epoch)
