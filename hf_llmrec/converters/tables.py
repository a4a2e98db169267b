"""Tables that are written while they are read: memory holds the log's ids and times, never its texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..data.time_units import NAMES
from .clock import Clock, TimeUnitError
from .source import Interaction, Item

_CHUNK = 100_000
_REVIEWS = pa.schema(
    [("user_id", pa.string()), ("item_id", pa.string()), ("text", pa.string()), ("timestamp", pa.int64())]
)


class Log:
    """Collects interactions, and writes texts of reviews to a file as they come.

    Args:
        reviews: file for the reviews, made if there is one.
        time_unit: of the times; ``None``: by their magnitude.
    """

    def __init__(self, reviews: Path, time_unit: str | None = None):
        self._rows: list[Interaction] = []
        self._parts: list[pa.Table] = []
        self._reviews, self._writer = reviews, None
        self._clock = Clock(time_unit)
        self.num_reviews = 0

    @property
    def is_empty(self) -> bool:
        """Whether no row has come."""
        return not self._parts and not self._rows

    @property
    def unit(self) -> str | None:
        """Name of the unit that times came in, once some of them were written; ``None`` without times."""
        return self._clock.unit and NAMES[self._clock.unit]

    def extend(self, rows: Iterable[Interaction]) -> None:
        """Add rows in file order."""
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
            # Ids repeat: as codes of a dictionary they take a fraction of the room.
            "user_id": pa.array(users, pa.string()).dictionary_encode(),
            "item_id": pa.array(items, pa.string()).dictionary_encode(),
            "timestamp": times,
            "rating": pa.array(ratings, pa.float64()),
        }
        self._parts.append(pa.table(columns))
        has_text = pc.greater(pc.utf8_length(pc.fill_null(pa.array(texts, pa.string()), "")), 0)
        if pc.any(has_text).as_py():
            found = pa.table([users, items, texts, times], schema=_REVIEWS)
            self._write(found.filter(pc.and_(has_text, pc.is_valid(found["timestamp"]))))
        self._rows = []

    def _seconds(self, times: list[float | None]) -> pa.Array:
        """Seconds since 1970, int64, null where there is no time."""
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
        """The interactions in file order, and how many repeats of a user and an item were left out.

        Args:
            keep_repeats: else the first in time stays, ties by file order.

        Raises:
            ValueError: some have a time and some have none, or times are in several units.
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
            keep = first_of_pairs(*(_codes(table, name) for name in ("user_id", "item_id")), _times(times))
            left_out = int(len(keep) - keep.sum())
            table = table.filter(pa.array(keep))
        if times.null_count:  # their order is all that is known
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
    """bool (n,): whether a row is the first of its user and item in time, ties by place.

    Args:
        users, items, times: int64 (n,).
    """
    pairs = users * (items.max(initial=0) + 1) + items
    order = np.lexsort((np.arange(len(pairs)), times, pairs))
    keep = np.zeros(len(pairs), dtype=bool)
    sorted_pairs = pairs[order]
    keep[order[np.concatenate([[True], sorted_pairs[1:] != sorted_pairs[:-1]])]] = True
    return keep


def item_table(wanted: pa.Array, items: Iterable[Item]) -> tuple[pa.Table, int]:
    """One row per item that was interacted with, in the order of ``wanted``; and how many of them nothing is said of.

    Args:
        wanted: string, ids.
        items: what is known of items, of these and others. Of an item that occurs again, the first text of each kind
            counts: a title where the first record has none comes from the next.
    """
    place = {item: row for row, item in enumerate(wanted.to_pylist())}
    found: list[Item | None] = [None] * len(place)
    for item in items:
        row = place.get(item.item_id)
        if row is None:
            continue
        before = found[row]
        found[row] = item if before is None else Item(*(old or new for old, new in zip(before, item, strict=True)))
    unknown = sum(item is None for item in found)
    rows = [item or Item(name) for name, item in zip(place, found, strict=True)]
    columns = dict(zip(Item._fields, (list(column) for column in zip(*rows, strict=True)), strict=True))
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    empty = [n for n in Item._fields[2:] if not pc.any(pc.not_equal(table.column(n), "")).as_py()]
    return table.drop_columns(empty), unknown
