"""When items were interacted with: how often each one was lately, at any time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from .files import staged
from .recommender_folder import resolve_file
from .splits import RecSplit

ACTIVITY_FILE = "item_activity.safetensors"
HOUR, DAY = 3600, 86_400
_HOURS = np.iinfo(np.int32).min, np.iinfo(np.int32).max


@dataclass(frozen=True)
class ItemActivity:
    """The training interactions of all users as a list of items in the order of time, without the users.

    Times are stored in hours, rounded up, so that an interaction is never counted before it took place.

    Attributes:
        items: int32 (n,), item rows, in the order of the hours and within an hour in that of the catalogue.
        hours: int32 (n,), hours since 1970, ascending.
        num_items: number of items of the catalogue.
    """

    items: np.ndarray
    hours: np.ndarray
    num_items: int

    @classmethod
    def from_split(cls, split: RecSplit, num_items: int) -> ItemActivity:
        """List the training interactions of a split.

        Args:
            split: its training interactions are listed; validation and test interactions are not used.
            num_items: number of items of the catalogue.

        Raises:
            ValueError: the dataset has no times.
        """
        if split.train_times is None:
            raise ValueError("item activity needs a timestamp column in interactions; this dataset has positions only")
        hours = -(-split.train_times // HOUR)
        # Within an hour by item: the order of the log would tell which interactions are of one user.
        order = np.lexsort((split.train_indices, hours))
        return cls(split.train_indices[order].astype(np.int32), hours[order].astype(np.int32), num_items)

    def counts(self, time: int, days: float | None = None) -> np.ndarray:
        """Number of interactions with every item strictly before a time.

        Args:
            time: seconds since 1970.
            days: length of the window that ends at ``time``, in days; ``None``: since the beginning.

        Returns:
            int64 (num_items,).
        """
        start = 0 if days is None else self._place(time - days * DAY)
        stop = self._place(time)
        return np.bincount(self.items[start:stop], minlength=self.num_items)

    def _place(self, time: float) -> int:
        """Number of interactions strictly before a time."""
        # Of the same dtype as the array, which would be converted otherwise.
        hour = np.clip(-(-time // HOUR), *_HOURS).astype(self.hours.dtype)
        return int(np.searchsorted(self.hours, hour, side="left"))

    @cached_property
    def first_hours(self) -> np.ndarray:
        """Hour of the first interaction with every item, int64 (num_items,); the largest int64 where there is none."""
        first = np.full(self.num_items, np.iinfo(np.int64).max)
        np.minimum.at(first, self.items, self.hours.astype(np.int64))
        return first

    def take(self, rows: np.ndarray) -> ItemActivity:
        """The activity of another catalogue.

        Args:
            rows: int (m,), for each item of that catalogue its row in this one; -1 for new items.
        """
        new_row = np.full(self.num_items, -1, dtype=np.int64)
        stays = rows >= 0
        new_row[rows[stays]] = np.flatnonzero(stays)
        items = new_row[self.items]
        return ItemActivity(items[items >= 0].astype(np.int32), self.hours[items >= 0], len(rows))

    def save(self, folder: str | os.PathLike) -> None:
        """Write ``item_activity.safetensors``: rows of the catalogue and hours, no users.

        Args:
            folder: folder of the model.
        """
        with staged(Path(folder)) as hidden:
            save_file({"items": self.items, "hours": self.hours}, hidden / ACTIVITY_FILE)

    @classmethod
    def load(cls, path_or_hub_id: str | os.PathLike, num_items: int, **hub_kwargs: Any) -> ItemActivity:
        """Read ``item_activity.safetensors`` from a folder or Hub repository.

        Args:
            path_or_hub_id: folder or Hub id of the model.
            num_items: number of items of the catalogue.
            **hub_kwargs: options of ``from_pretrained`` such as ``revision``, see `recommender_folder.HUB_OPTIONS`.

        Raises:
            FileNotFoundError: there is no such file.
        """
        tensors = load_file(resolve_file(path_or_hub_id, ACTIVITY_FILE, **hub_kwargs))
        return cls(tensors["items"], tensors["hours"], num_items)
