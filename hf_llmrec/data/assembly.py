"""Tables -> the arrays of a dataset: ids as rows, every user's interactions in order."""

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
    """Arrays of `RecDataset`, whose attributes of these names they become.

    Attributes:
        extra: reviews, intentions and preferences, their timestamps in seconds.
        notes: oddities that were accepted, counted.
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
    """Sort the interactions by user and time, equal times by position where there is one, then as in the file.

    Args:
        tables: checked tables by name, with their sources. time_unit: of timestamps; ``None``: by their magnitude.

    Raises:
        ValueError: no interaction, an item id that occurs twice, ids that are unknown, neither timestamps nor
            positions, or timestamps of several units; names table and row.
    """
    interactions, source = tables["interactions"]
    items, items_source = tables["items"]
    if not len(interactions):
        raise ValueError(f"{source}: there is no row: a dataset needs interactions")
    _check_items(items, items_source)
    if "timestamp" not in interactions.column_names and "position" not in interactions.column_names:
        raise ValueError(f"{source}: needs a column 'timestamp' or 'position'")
    users = pc.dictionary_encode(interactions.column("user_id").combine_chunks())
    users = users.combine_chunks() if isinstance(users, pa.ChunkedArray) else users
    user_rows = users.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    item_rows = pc.index_in(interactions.column("item_id"), value_set=items.column("item_id").combine_chunks())
    if item_rows.null_count:
        row = pc.index(pc.is_null(item_rows), True).as_py()
        item = interactions.column("item_id")[row].as_py()
        raise ValueError(f"{source.at(row)}: item {item!r} is not in {items_source}")
    item_rows = item_rows.to_numpy().astype(np.int64)
    times = timestamp_columns({name: (table, str(place)) for name, (table, place) in tables.items()}, time_unit)
    positions, ratings = (
        interactions.column(name).to_numpy() if name in interactions.column_names else None
        for name in ("position", "rating")
    )
    # By the times as given: seconds may tie where milliseconds do not. Stable: ties keep the order of the file.
    when = times["interactions"][0] if "interactions" in times else positions
    order = np.lexsort(((when,) if positions is None else (positions, when)) + (user_rows,))
    user_rows, item_rows, when = user_rows[order], item_rows[order], when[order]
    positions, ratings = (None if values is None else values[order] for values in (positions, ratings))
    user_ids = users.dictionary.to_pylist()
    same_user = np.diff(user_rows) == 0
    steps = np.zeros(len(when) - 1) if positions is None else np.diff(positions)
    ties = same_user & (np.diff(when) == 0) & (steps == 0)
    extra = {name: table for name, table in tables.items() if name not in ("interactions", "items")}
    _check_ids(extra, user_ids, items)
    return Assembled(
        user_ids=user_ids,
        indptr=np.concatenate([[0], np.cumsum(np.bincount(user_rows, minlength=len(user_ids)))]),
        indices=item_rows,
        timestamps=to_seconds(when, times["interactions"][1]) if "interactions" in times else None,
        positions=positions,
        ratings=ratings,
        extra={name: _with_seconds(table, times.get(name)) for name, (table, _) in extra.items()},
        notes={
            "time_ties": int(ties.sum()),
            "repeated_pairs": len(user_rows) - len(np.unique(user_rows * max(len(items), 1) + item_rows)),
            "positions_against_time": int((same_user & (steps < 0)).sum()),
        },
    )


def _check_items(items: pa.Table, source: TableSource) -> None:
    counts = pc.value_counts(items.column("item_id"))
    if len(counts) != len(items):
        item = next(c["values"].as_py() for c in counts if c["counts"].as_py() > 1)
        rows = pc.indices_nonzero(pc.equal(items.column("item_id"), item)).to_pylist()
        places = ", ".join(source.at(row) for row in rows[:5])
        raise ValueError(f"{source}: column 'item_id': {item!r} occurs more than once ({places})")


def _check_ids(tables: Tables, user_ids: list[str], items: pa.Table) -> None:
    known = {"user_id": pa.array(user_ids, type=pa.string()), "item_id": items.column("item_id").combine_chunks()}
    for table, source in tables.values():
        for column, ids in known.items():
            if column not in table.column_names:
                continue
            unknown = pc.is_null(pc.index_in(table.column(column).cast(pa.string()), value_set=ids.cast(pa.string())))
            if pc.any(unknown).as_py():
                row = pc.index(unknown, True).as_py()
                found = table.column(column)[row].as_py()
                raise ValueError(f"{source.at(row)}: column {column!r}: {found!r} is unknown")


def _with_seconds(table: pa.Table, times: tuple[np.ndarray, str] | None) -> pa.Table:
    if times is None:
        return table
    place = table.column_names.index("timestamp")
    return table.set_column(place, "timestamp", pa.array(to_seconds(*times), type=pa.int64()))
