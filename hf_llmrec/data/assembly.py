"""Converts checked tables to the arrays of a dataset: ids become rows, interactions are sorted per user."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .loading import TableSource
from .time_units import timestamp_columns, to_seconds

Tables = dict[str, tuple[pa.Table, TableSource]]


@dataclass(frozen=True)
class Assembled:
    """The arrays of a `RecDataset`; fields and attributes have the same names, except for ``extra``.

    Attributes:
        user_ids: ids in order of first appearance.
        indptr: int64 (num_users + 1,), where the interactions of each user begin in the arrays below.
        indices: int64 (num_interactions,), item rows, sorted by user and time.
        timestamps: int64 (num_interactions,), seconds; ``None``: the log has no timestamps.
        positions: int64 (num_interactions,); ``None``: the log has no positions.
        ratings: float64 (num_interactions,), NaN where there is none; ``None``: the log has no ratings.
        extra: the tables reviews, intentions and preferences, with timestamps in seconds.
        notes: counts of irregularities that were accepted, by name.
    """

    user_ids: list[str]
    indptr: np.ndarray
    indices: np.ndarray
    timestamps: np.ndarray | None
    positions: np.ndarray | None
    ratings: np.ndarray | None
    extra: dict[str, pa.Table]
    notes: dict[str, int]


def assemble(tables: Tables, time_unit: str | None = None) -> Assembled:
    """Sort the interactions by user and time; equal times by position if there is one, then by order in the file.

    Args:
        tables: checked tables by name, each with its source for error messages.
        time_unit: unit of the timestamps, a key of `time_units.SECONDS`; ``None``: detected from their magnitude.

    Raises:
        ValueError: there is no interaction, an item id occurs twice, an item is not in the catalogue, a text has the id
            of a user or item that does not exist, there are neither timestamps nor positions, or timestamps have
            several units. The message names table and row.
    """
    interactions, source = tables["interactions"]
    items, items_source = tables["items"]
    if not len(interactions):
        raise ValueError(f"{source}: there is no row: a dataset needs interactions")
    _check_items(items, items_source)
    if "timestamp" not in interactions.column_names and "position" not in interactions.column_names:
        raise ValueError(f"{source}: needs a column 'timestamp' or 'position'")
    users = interactions.column("user_id").combine_chunks().dictionary_encode()
    users = users.combine_chunks() if isinstance(users, pa.ChunkedArray) else users
    user_rows = users.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    item_rows = _rows_in(items.column("item_id"), interactions.column("item_id"))
    if item_rows.null_count:
        row = pc.index(item_rows.is_null(), True).as_py()
        item = interactions.column("item_id")[row].as_py()
        raise ValueError(f"{source.at(row)}: item {item!r} is not in {items_source}")
    item_rows = item_rows.to_numpy().astype(np.int64)
    times = timestamp_columns({name: (table, str(place)) for name, (table, place) in tables.items()}, time_unit)
    log_times = times.get("interactions")
    positions, ratings = _column(interactions, "position"), _column(interactions, "rating")
    # Times are compared in their own unit: seconds may tie where milliseconds do not. The sort is stable, so ties keep
    # the order of the file.
    keys = [values for values in (positions, log_times and log_times[0]) if values is not None]
    order = np.lexsort((*keys, user_rows))
    user_rows, item_rows = user_rows[order], item_rows[order]
    positions, ratings = (None if values is None else values[order] for values in (positions, ratings))
    user_ids = users.dictionary.to_pylist()
    same_user = np.diff(user_rows) == 0
    ties = np.logical_and.reduce([same_user, *(np.diff(key[order]) == 0 for key in keys)])
    extra = {name: table for name, table in tables.items() if name not in ("interactions", "items")}
    _check_ids(extra, user_ids, items)
    return Assembled(
        user_ids=user_ids,
        indptr=np.concatenate([[0], np.cumsum(np.bincount(user_rows, minlength=len(user_ids)))]),
        indices=item_rows,
        timestamps=None if log_times is None else to_seconds(log_times[0][order], log_times[1]),
        positions=positions,
        ratings=ratings,
        extra={name: _with_seconds(table, times.get(name)) for name, (table, _) in extra.items()},
        notes={
            "time_ties": int(ties.sum()),
            "repeated_pairs": len(user_rows) - len(np.unique(user_rows * max(len(items), 1) + item_rows)),
            "positions_against_time": 0 if positions is None else int((same_user & (np.diff(positions) < 0)).sum()),
        },
    )


def _column(table: pa.Table, name: str) -> np.ndarray | None:
    return table.column(name).to_numpy() if name in table.column_names else None


def _rows_in(ids: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """int32, the row of each value in ``ids``; null where it is not among them."""
    # pyarrow generates this function at import, so that type checkers do not see it.
    return pc.index_in(values, value_set=ids.combine_chunks())  # pyright: ignore[reportAttributeAccessIssue]


def _check_items(items: pa.Table, source: TableSource) -> None:
    counts = items.column("item_id").value_counts()
    if len(counts) != len(items):
        item = next(c["values"].as_py() for c in counts if c["counts"].as_py() > 1)
        rows = [row for row, other in enumerate(items.column("item_id").to_pylist()) if other == item]
        places = ", ".join(source.at(row) for row in rows[:5])
        raise ValueError(f"{source}: column 'item_id': {item!r} occurs more than once ({places})")


def _check_ids(tables: Tables, user_ids: list[str], items: pa.Table) -> None:
    ids = {"user_id": pa.chunked_array([user_ids], type=pa.string()), "item_id": items.column("item_id")}
    for table, source in tables.values():
        for column, valid_ids in ids.items():
            if column not in table.column_names:
                continue
            values = table.column(column)
            rows = _rows_in(valid_ids.cast(pa.string()), values.cast(pa.string()))
            if rows.null_count > values.null_count:  # an intention may have no user
                row = next(row for row, each in enumerate(rows.to_pylist()) if each is None and values[row].is_valid)
                value = values[row].as_py()
                raise ValueError(f"{source.at(row)}: column {column!r}: {value!r} is unknown")


def _with_seconds(table: pa.Table, times: tuple[np.ndarray, str] | None) -> pa.Table:
    if times is None:
        return table
    place = table.column_names.index("timestamp")
    return table.set_column(place, "timestamp", pa.array(to_seconds(*times), type=pa.int64()))
