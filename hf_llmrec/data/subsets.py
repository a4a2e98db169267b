"""Selecting a part of a dataset: the k-core, and the rows of a table that belong to it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


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
    """The rows of a table whose ids are all among the given ones.

    Args:
        table: a table with id columns.
        ids: the ids to select, by column; columns that the table does not have are ignored.
    """
    for name, selected in ids.items():
        if name in table.column_names:
            column = table.column(name)
            # pyarrow generates this function at import, so that type checkers do not see it.
            is_selected = pc.is_in(column, value_set=selected.cast(column.type))  # pyright: ignore[reportAttributeAccessIssue]
            table = table.filter(is_selected)
    return table
