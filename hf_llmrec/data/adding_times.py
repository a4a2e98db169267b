"""Adds times to a dataset whose interactions have positions only."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .interactions import RecDataset

_KEYS = ("user_id", "item_id", "position")


def add_timestamps(dataset: RecDataset, times: pa.Table, source: str = "times") -> RecDataset:
    """A dataset with the times of its interactions, whose order stays as it is.

    Args:
        dataset: with positions.
        times: columns ``user_id``, ``item_id``, ``position`` and ``timestamp`` (of any unit), a row for every
            interaction, in any order. Other rows are refused.
        source: name of the table in error messages.

    Returns:
        the dataset with both columns. Splits hold out the same interactions.

    Raises:
        ValueError: a column is missing; an interaction has no time, or several; or the times contradict the positions.
            The message names the first such interaction.

    Example:
        ```python
        dataset = RecDataset.load("data/amazon-beauty-2014")
        timed = add_timestamps(dataset, pq.read_table("data/amazon-beauty-2014/timestamps.parquet"))
        timed.save("data/amazon-beauty-2014-timed")
        ```
    """
    if dataset.positions is None:
        raise ValueError(f"dataset {dataset.name!r} has no positions: its interactions cannot be told apart")
    missing = [name for name in (*_KEYS, "timestamp") if name not in times.column_names]
    if missing:
        raise ValueError(f"{source}: no column {missing[0]!r}; there are {times.column_names}")
    own = dataset.tables()
    times = pa.table(
        {
            name: times.column(name).cast(own["interactions"].schema.field(name).type) if name in _KEYS else column
            for name, column in zip(times.column_names, times.columns, strict=True)
        }
    )
    keyed = [[tuple(row.values()) for row in table.select(_KEYS).to_pylist()] for table in (own["interactions"], times)]
    stamps = dict(zip(keyed[1], times.column("timestamp").to_pylist(), strict=True))
    if len(stamps) != len(keyed[1]):
        seen: set[tuple] = set()
        row = next(row for row, key in enumerate(keyed[1]) if key in seen or seen.add(key))
        raise ValueError(f"{source}: row {row}: {_words(keyed[1][row])} has several times")
    without = next((key for key in keyed[0] if stamps.get(key) is None), None)
    if without is not None:
        raise ValueError(f"{source}: {_words(without)} has no time")
    extra = set(stamps) - set(keyed[0])
    if extra:
        raise ValueError(f"{source}: {_words(min(extra))} is no interaction of {dataset.name!r}")
    stamped = pa.array([stamps[key] for key in keyed[0]], type=times.schema.field("timestamp").type)
    table = own["interactions"]
    if "timestamp" in table.column_names:
        table = table.drop_columns("timestamp")
    own["interactions"] = table.append_column("timestamp", stamped)
    timed = RecDataset.from_datasets(**own, name=dataset.name)
    before, after = (each.positions for each in (dataset, timed))
    assert before is not None and after is not None  # both come from a table with positions
    if timed.interactions_fingerprint != dataset.interactions_fingerprint:
        row = int(np.flatnonzero((timed.indices != dataset.indices) | (before != after))[0])
        user = dataset.user_ids[int(np.searchsorted(dataset.indptr, row, side="right")) - 1]
        raise ValueError(f"{source}: the times of user {user!r} contradict the positions of their interactions")
    return timed


def add_times_to_folder(folder: str | os.PathLike, times: str | os.PathLike, output_dir: str | os.PathLike) -> str:
    """`add_timestamps` for a dataset folder and a Parquet file.

    Args:
        folder: dataset folder or Hub id.
        times: Parquet file.
        output_dir: dataset folder that is written, another one than ``folder``, whose card it does not have.

    Returns:
        what was done, in words.

    Raises:
        FileNotFoundError: there is no such folder or file.
        ValueError: the two folders are the same, and see `add_timestamps`.
    """
    if not Path(times).is_file():
        raise FileNotFoundError(f"{times}: no such file")
    if Path(output_dir).resolve() == Path(folder).resolve():
        raise ValueError(f"output_dir {output_dir}: choose another folder than that of the dataset")
    timed = add_timestamps(RecDataset.load(folder), pq.read_table(times), str(times))
    timed.save(output_dir)
    assert timed.timestamps is not None  # `add_timestamps` has added them
    ends = timed.timestamps.min(), timed.timestamps.max()
    first, last = (str(np.datetime64(int(time), "s"))[:10] for time in ends)
    return (
        f"{timed.num_interactions} interactions from {first} to {last}, in the order of their positions: {output_dir}"
    )


def _words(key: tuple) -> str:
    user, item, position = key
    return f"user {user!r}, item {item!r}, position {position}"
