"""`EpochDataset`: a map-style dataset that builds its rows on access, differently in every epoch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset


class EpochDataset(Dataset):
    """Base class of the training datasets: a map-style `torch.utils.data.Dataset` with `set_epoch`.

    Subclasses define ``__len__`` and `build`, and call ``super().__init__()``. A row must depend on its number and the
    epoch alone, so that data-loader workers, several processes and resumed runs build the same rows.

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
        # Shared with worker processes: persistent workers must see the number of the next epoch.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The current epoch, from 0."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Switch to the rows of another epoch.

        Args:
            epoch: number of the epoch, from 0.
        """
        self._epoch.fill_(epoch)

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def build(self, slot: int, epoch: int) -> Mapping[str, Any]:
        """Build one row.

        Args:
            slot: number of the row, from 0.
            epoch: number of the epoch, from 0.

        Returns:
            the features that the data collator expects: for language models ``input_ids`` and ``labels`` of equal
            length, with label -100 for tokens that are not trained on.
        """

    def lengths(self, epoch: int) -> np.ndarray:
        """int64 (rows,), the length of every row, used to group rows into batches and to size the batches.

        Args:
            epoch: number of the epoch, from 0.
        """
        return np.array([len(self.build(slot, epoch)["input_ids"]) for slot in range(len(self))], dtype=np.int64)

    def __getitem__(self, slot: int) -> Mapping[str, Any]:
        if not 0 <= slot < len(self):
            raise IndexError(f"row {slot} of {len(self)}")
        return self.build(int(slot), self.epoch)
