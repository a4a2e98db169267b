"""Selects a part of a dataset: the k-core, and the rows of a table that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .loading import TABLES


def k_core_mask(users: np.ndarray, items: np.ndarray, k: int) -> np.ndarray:
    """bool (n,), the largest set of interactions in which every user and item has at least ``k``.

    Args:
        users: int (n,), user row of each interaction.
        items: int (n,), item row of each interaction.
        k: minimum number of interactions of a user and of an item.
    """
    keep = np.ones(len(users), dtype=bool)
    while True:
        user_counts = np.bincount(users[keep], minlength=int(users.max(initial=0)) + 1)
        item_counts = np.bincount(items[keep], minlength=int(items.max(initial=0)) + 1)
        remaining = keep & (user_counts[users] >= k) & (item_counts[items] >= k)
        if remaining.sum() == keep.sum():
            return keep
        keep = remaining


def rows_with_ids(table: pa.Table, ids: Mapping[str, pa.Array]) -> pa.Table:
    """The rows of a table whose ids are all among the given ones; an intention without a user stays.

    Args:
        table: a table with id columns.
        ids: the ids to select, by column; columns that the table does not have are ignored.
    """
    for name, selected in ids.items():
        if name in table.column_names:
            column = table.column(name)
            # pyarrow generates this function at import, so that type checkers do not see it.
            is_selected = pc.is_in(column, value_set=selected.cast(column.type))  # pyright: ignore[reportAttributeAccessIssue]
            table = table.filter(pc.or_(is_selected, column.is_null()))  # pyright: ignore[reportAttributeAccessIssue]
    return table


def k_core_parts(dataset: Any, k: int) -> dict[str, Any]:
    """The parameters of `RecDataset` for the largest subset in which every user and item has ``k`` interactions.

    Args:
        dataset: the `RecDataset`.
        k: minimum number of interactions of a user and of an item.

    Raises:
        ValueError: the subset is empty.
    """
    users = np.repeat(np.arange(dataset.num_users), np.diff(dataset.indptr))
    keep = k_core_mask(users, dataset.indices, k)
    if not keep.any():
        raise ValueError(f"dataset {dataset.name!r}: no user and item is left in the {k}-core")
    core_users, core_items = np.unique(users[keep]), np.unique(dataset.indices[keep])
    user_ids = [dataset.user_ids[user] for user in core_users.tolist()]
    items = dataset.tables()["items"].take(pa.array(core_items))
    ids = {"user_id": pa.array(user_ids, type=pa.string()), "item_id": items.column("item_id").combine_chunks()}
    tables = {}
    for name in TABLES[2:]:
        table = getattr(dataset, name)
        if table is not None:
            tables[name] = rows_with_ids(table, ids)
    lengths = np.bincount(users[keep], minlength=dataset.num_users)[core_users]
    if "preferences" in tables:
        # A preference sums up all interactions of a user but the last two. A user who has lost some now holds out
        # earlier ones, which the preference may reveal.
        is_complete = lengths == np.diff(dataset.indptr)[core_users]
        complete = [user for user, is_same in zip(user_ids, is_complete, strict=True) if is_same]
        tables["preferences"] = rows_with_ids(tables["preferences"], {"user_id": pa.array(complete, type=pa.string())})
    notes = {name: dataset.notes[name] for name in ("time_ties", "repeated_pairs", "positions_against_time")}
    return dict(
        name=dataset.name,
        user_ids=user_ids,
        items=items,
        indptr=np.concatenate([[0], np.cumsum(lengths)]),
        indices=np.searchsorted(core_items, dataset.indices[keep]),
        timestamps=None if dataset.timestamps is None else dataset.timestamps[keep],
        positions=None if dataset.positions is None else dataset.positions[keep],
        ratings=None if dataset.ratings is None else dataset.ratings[keep],
        tables=tables,
        notes=notes,
    )
