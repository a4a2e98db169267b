"""Builds the tables of a dataset while raw files are read: memory holds the ids and times of a log, not its texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..data.time_units import NAMES
from .clock import Clock, TimeUnitError
from .source import Interaction, Item

_CHUNK = 100_000
_REVIEWS = pa.schema(
    [("user_id", pa.string()), ("item_id", pa.string()), ("text", pa.string()), ("timestamp", pa.int64())]
)


class Log:
    """Collects interactions, and writes the texts of reviews to a file as they are read.

    Args:
        reviews: file for the reviews, created if there are any.
        time_unit: unit of the times; ``None``: detected from their magnitude.

    Attributes:
        num_reviews: number of reviews that were written.
    """

    def __init__(self, reviews: Path, time_unit: str | None = None):
        self._rows: list[Interaction] = []
        self._parts: list[pa.Table] = []
        self._reviews = reviews
        self._writer: pq.ParquetWriter | None = None
        self._clock = Clock(time_unit)
        self.num_reviews = 0

    @property
    def is_empty(self) -> bool:
        """Whether no interaction was added."""
        return not self._parts and not self._rows

    @property
    def unit(self) -> str | None:
        """Name of the unit of the raw times; ``None`` if there are none, or none was converted yet."""
        return self._clock.unit and NAMES[self._clock.unit]

    def extend(self, rows: Iterable[Interaction]) -> None:
        """Add interactions.

        Args:
            rows: interactions in the order of the file.

        Raises:
            ValueError: times have several units.
        """
        for row in rows:
            self._rows.append(row)
            if len(self._rows) == _CHUNK:
                self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        users, items, raw_times, ratings, texts = (list(column) for column in zip(*self._rows, strict=True))
        times = self._seconds(raw_times)
        columns = {
            # Ids repeat: dictionary encoding takes a fraction of the memory.
            "user_id": pa.array(users, pa.string()).dictionary_encode(),
            "item_id": pa.array(items, pa.string()).dictionary_encode(),
            "timestamp": times,
            "rating": pa.array(ratings, pa.float64()),
        }
        self._parts.append(pa.table(columns))
        has_text = np.array([bool(text) for text in texts])
        if has_text.any():
            reviews = pa.table([users, items, texts, times], schema=_REVIEWS)
            self._write(reviews.filter(pa.array(has_text & times.is_valid().to_numpy(zero_copy_only=False))))
        self._rows = []

    def _seconds(self, times: list[float | None]) -> pa.Array:
        """int64 (n,), seconds since 1970; null where there is no time."""
        values = np.array(times, dtype=np.float64)  # None becomes NaN
        is_missing = np.isnan(values)
        seconds = np.zeros(len(values), dtype=np.int64)
        try:
            seconds[~is_missing] = self._clock.seconds(values[~is_missing])
        except TimeUnitError as error:
            row = self._rows[int(np.flatnonzero(~is_missing)[error.place])]
            raise ValueError(f"{error}, that of user {row.user_id!r} and item {row.item_id!r}") from None
        return pa.array(seconds, mask=is_missing)

    def _write(self, reviews: pa.Table) -> None:
        if not len(reviews):
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._reviews, _REVIEWS)
        self._writer.write_table(reviews)
        self.num_reviews += len(reviews)

    def finish(self, *, keep_repeats: bool) -> tuple[pa.Table, int]:
        """Finish reading.

        Args:
            keep_repeats: keep all interactions of a user with an item; otherwise only the first in time, ties by order
                in the file.

        Returns:
            the interactions in the order of the file, and the number of repeats that were left out.

        Raises:
            ValueError: only some interactions have a time, or times have several units.
        """
        self._flush()
        if self._writer is not None:
            self._writer.close()
        table = pa.concat_tables(self._parts).unify_dictionaries().combine_chunks()
        self._parts = []
        times = table.column("timestamp")
        if 0 < times.null_count < len(times):
            raise ValueError(f"{times.null_count} of {len(times)} interactions have no timestamp")
        left_out = 0
        if not keep_repeats:
            keep = first_of_pairs(_codes(table, "user_id"), _codes(table, "item_id"), _times(times))
            left_out = int(len(keep) - keep.sum())
            table = table.filter(pa.array(keep))
        if times.null_count:  # without times, the order in the file is kept as positions
            order = pa.array(np.arange(len(table), dtype=np.int64))
            table = table.drop_columns("timestamp").append_column("position", order)
        if table.column("rating").null_count == len(table):
            table = table.drop_columns("rating")
        return table, left_out


def _codes(table: pa.Table, name: str) -> np.ndarray:
    column = table.column(name).combine_chunks()
    return np.asarray(column.indices if hasattr(column, "indices") else column.chunk(0).indices).astype(np.int64)


def _times(times: pa.ChunkedArray) -> np.ndarray:
    return np.zeros(len(times), dtype=np.int64) if times.null_count else times.to_numpy()


def first_of_pairs(users: np.ndarray, items: np.ndarray, times: np.ndarray) -> np.ndarray:
    """bool (n,), whether a row is the first of its user and item in time; ties go to the earlier row.

    Args:
        users: int64 (n,), number of the user of each row.
        items: int64 (n,), number of the item of each row.
        times: int64 (n,), time of each row.
    """
    pairs = users * (items.max(initial=0) + 1) + items
    order = np.lexsort((np.arange(len(pairs)), times, pairs))
    keep = np.zeros(len(pairs), dtype=bool)
    sorted_pairs = pairs[order]
    keep[order[np.concatenate([[True], sorted_pairs[1:] != sorted_pairs[:-1]])]] = True
    return keep


def item_table(item_ids: Sequence[str], items: Iterable[Item]) -> tuple[pa.Table, int]:
    """Build the table of the items that occur in the log.

    Args:
        item_ids: ids of these items, without repeats.
        items: descriptions of these and other items. For an item that occurs several times, the first text of each kind
            counts: if its first record has no title, the next title is used.

    Returns:
        the table, one row per id in the same order, and the number of items without any description.
    """
    place = {item: row for row, item in enumerate(item_ids)}
    described: list[Item | None] = [None] * len(place)
    for item in items:
        row = place.get(item.item_id)
        if row is None:
            continue
        before = described[row]
        described[row] = item if before is None else Item(*(old or new for old, new in zip(before, item, strict=True)))
    undescribed = sum(item is None for item in described)
    rows = [item or Item(name) for name, item in zip(place, described, strict=True)]
    columns = dict(zip(Item._fields, (list(column) for column in zip(*rows, strict=True)), strict=True))
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    empty = [name for name in Item._fields[2:] if not any(columns[name])]
    return table.drop_columns(empty), undescribed
