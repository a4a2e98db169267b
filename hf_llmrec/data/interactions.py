"""`RecDataset`: who interacted with what, and when. Ids are strings for callers and rows of int32 CSR arrays inside."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .assembly import assemble
from .cold_items import ColdItems, hold_out_items
from .dataset_writing import save_tables
from .fingerprints import DataFingerprint, catalog_fingerprint, ids_fingerprint
from .interaction_fingerprints import interactions_fingerprint, split_fingerprint
from .loading import TABLES, TableSource, arrow_table, read_tables
from .splits import RecSplit, split_by
from .subsets import k_core_parts

ITEM_TEXTS = ("title", "description", "brand", "categories")


def _strings(table: pa.Table, column: str) -> list[str]:
    """The values of a text column; "" where the value or the column is missing."""
    if column not in table.column_names:
        return [""] * len(table)
    return [(value or "").strip() for value in table.column(column).to_pylist()]


class RecDataset:
    """An immutable recommendation dataset. Create one with `load`, `from_datasets` or `from_pandas`.

    Attributes:
        name: name of the dataset.
        user_ids: ids of the users, in order of first appearance in the interactions.
        item_ids: ids of the items, in the order of the items table.
        user_row: row of each user, by id.
        item_row: row of each item, by id.
        indptr: int32 (num_users + 1,), where the interactions of each user begin in ``indices``.
        indices: int32 (num_interactions,), item rows per user, oldest first.
        timestamps: int64 (num_interactions,), seconds, aligned with ``indices``; ``None``: the log has no timestamps.
        positions: int64 (num_interactions,), as in the log; they order interactions without or with equal timestamps.
            ``None``: the log has no positions.
        ratings: float64 (num_interactions,), NaN where there is none; ``None``: the log has no ratings. No model uses
            them.
        titles: one title per item, never empty: it falls back to the description, the brand and the id.
        descriptions: one description per item, "" where missing.
        brands: one brand per item, "" where missing.
        categories: the categories of each item as one text, "" where missing.
        reviews: pyarrow table of review texts, or ``None``.
        intentions: pyarrow table of intention texts, or ``None``.
        preferences: pyarrow table of preference texts, or ``None``.
        notes: counts of irregularities that were accepted, by name.
    """

    def __init__(
        self,
        *,
        name: str,
        user_ids: list[str],
        items: pa.Table,
        indptr: np.ndarray,
        indices: np.ndarray,
        timestamps: np.ndarray | None,
        positions: np.ndarray | None,
        ratings: np.ndarray | None,
        tables: dict[str, pa.Table],
        notes: dict[str, int],
    ):
        self.name, self.user_ids, self._items = name, user_ids, items
        self.item_ids: list[str] = items.column("item_id").to_pylist()
        self.indptr = np.asarray(indptr, dtype=np.int32)
        self.indices = np.asarray(indices, dtype=np.int32)
        self.timestamps = None if timestamps is None else np.asarray(timestamps, dtype=np.int64)
        self.positions = None if positions is None else np.asarray(positions, dtype=np.int64)
        self.ratings = None if ratings is None else np.asarray(ratings, dtype=np.float64)
        titles, self.descriptions, self.brands, self.categories = (_strings(items, column) for column in ITEM_TEXTS)
        notes = {**notes, "empty_titles": sum(not title for title in titles)}
        fallback = zip(titles, self.descriptions, self.brands, self.item_ids, strict=True)
        self.titles = [title or description or brand or item for title, description, brand, item in fallback]
        self.reviews, self.intentions, self.preferences = (tables.get(table) for table in TABLES[2:])
        self.notes = {**notes, "users_under_three": int((np.diff(self.indptr) < 3).sum())}
        self.user_row = {user: row for row, user in enumerate(self.user_ids)}
        self.item_row = {item: row for row, item in enumerate(self.item_ids)}

    @property
    def num_users(self) -> int:
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        return len(self.item_ids)

    @property
    def num_interactions(self) -> int:
        return len(self.indices)

    @cached_property
    def catalog_fingerprint(self) -> str:
        """sha256 (hex) of the item ids in order."""
        return catalog_fingerprint(self.item_ids)

    @cached_property
    def ids_fingerprint(self) -> str:
        """sha256 (hex) of item and user ids: the ``fingerprint`` of version 0.1."""
        return ids_fingerprint(self.item_ids, self.user_ids)

    @cached_property
    def interactions_fingerprint(self) -> str:
        """sha256 (hex) of users, items and the order of each user's interactions, without the times."""
        return interactions_fingerprint(self.user_ids, self.item_ids, self.indptr, self.indices)

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of catalogue and interactions."""
        both = f"{self.catalog_fingerprint}:{self.interactions_fingerprint}"
        return hashlib.sha256(both.encode()).hexdigest()

    def data_fingerprint(self, split: RecSplit | None = None) -> DataFingerprint:
        """Fingerprint of the catalogue, the interactions and, if given, a split.

        Args:
            split: a split of this dataset; ``None``: the fingerprint has no split.
        """
        held_out = None if split is None else split_fingerprint(self.user_ids, split)
        return DataFingerprint(self.catalog_fingerprint, self.interactions_fingerprint, held_out)

    def __repr__(self) -> str:
        return (
            f"RecDataset({self.name!r}: {self.num_users} users, {self.num_items} items, "
            f"{self.num_interactions} interactions)"
        )

    # -- construction -------------------------------------------------------------------------------------------------

    @classmethod
    def load(
        cls,
        path_or_hub_id: str | os.PathLike,
        *,
        revision: str | None = None,
        k_core: int = 0,
        time_unit: str | None = None,
    ) -> RecDataset:
        """Read a dataset folder or a Hub dataset in the package's layout.

        Args:
            path_or_hub_id: a folder with ``interactions.parquet``, ``items.parquet`` and optional tables, or the id of
                a Hub dataset that has configurations of these names.
            revision: branch, tag or commit of the Hub dataset; ``None``: its main branch.
            k_core: keep only users and items with at least this many interactions, see `RecDataset.k_core`; 0 keeps
                all.
            time_unit: unit of the timestamps: ``s``, ``ms``, ``us``, ``ns`` or ``D`` (days); ``None``: detected from
                their magnitude.

        Raises:
            FileNotFoundError: there is no such folder, or a table is missing.
            ValueError: invalid content. The message names file, row and column.
        """
        tables = read_tables(path_or_hub_id, revision)
        dataset = cls._from_tables(tables, Path(path_or_hub_id).name, time_unit)
        return dataset.k_core(k_core) if k_core else dataset

    @classmethod
    def from_datasets(
        cls,
        interactions: Any,
        items: Any,
        *,
        reviews: Any = None,
        intentions: Any = None,
        preferences: Any = None,
        name: str = "dataset",
        time_unit: str | None = None,
    ) -> RecDataset:
        """Build from tables with the columns of a dataset folder.

        Args:
            interactions: one row per interaction. Like the other tables a `datasets.Dataset` or `IterableDataset`, a
                pyarrow table, a pandas frame, a dictionary of columns or a list of records.
            items: one row per item.
            reviews: one row per review text; ``None``: no reviews.
            intentions: one row per text of what a user was looking for; ``None``: no intentions.
            preferences: one row per text that sums up a user; ``None``: no preferences.
            name: name of the dataset.
            time_unit: unit of the timestamps: ``s``, ``ms``, ``us``, ``ns`` or ``D`` (days); ``None``: detected from
                their magnitude.

        Raises:
            TypeError: a table of another type.
            ValueError: invalid content. The message names table, row and column.
        """
        values = dict(zip(TABLES, (interactions, items, reviews, intentions, preferences), strict=True))
        tables = {t: (arrow_table(value, t, t), TableSource(t)) for t, value in values.items() if value is not None}
        return cls._from_tables(tables, name, time_unit)

    @classmethod
    def from_pandas(
        cls, interactions: Any, items: Any = None, *, columns: Mapping[str, str] | None = None, **options: Any
    ) -> RecDataset:
        """Build from pandas frames, whose columns may have any names.

        Args:
            interactions: one row per interaction, with user, item, and a time or a position.
            items: one row per item; ``None``: the items of the interactions, without texts.
            columns: maps names in the frames to columns of a dataset folder, such as
                ``{"customer": "user_id", "sku": "item_id", "bought_at": "timestamp", "name": "title"}``. Other columns
                keep their names; those that a dataset folder does not have are ignored.
            **options: keyword arguments of `from_datasets`, such as ``name`` and ``time_unit``.

        Raises:
            ValueError: a column that neither frame has, or invalid content. The message names table, row and column.

        Example:
            ```python
            log = pd.DataFrame({"customer": ["a", "a", "a"], "sku": ["x", "y", "z"], "day": [1, 2, 3]})
            names = {"customer": "user_id", "sku": "item_id", "day": "position"}
            dataset = RecDataset.from_pandas(log, columns=names)
            ```
        """
        frames = {"interactions": interactions} | ({} if items is None else {"items": items})
        unknown = [name for name in columns or {} if not any(name in frame.columns for frame in frames.values())]
        if unknown:
            raise ValueError(f"columns: no frame has {unknown}; there are {[list(each) for each in frames.values()]}")
        named = {name: frame.rename(columns=dict(columns or {})) for name, frame in frames.items()}
        if items is None:
            named["interactions"] = arrow_table(named["interactions"], "interactions", "interactions")
            ids = named["interactions"].column("item_id").unique()
            named["items"] = pa.table({"item_id": ids, "title": [""] * len(ids)})
        return cls.from_datasets(named["interactions"], named["items"], **options)

    @classmethod
    def _from_tables(
        cls, tables: dict[str, tuple[pa.Table, TableSource]], name: str, time_unit: str | None
    ) -> RecDataset:
        log = assemble(tables, time_unit)
        return cls(
            name=name,
            user_ids=log.user_ids,
            items=tables["items"][0],
            indptr=log.indptr,
            indices=log.indices,
            timestamps=log.timestamps,
            positions=log.positions,
            ratings=log.ratings,
            tables=log.extra,
            notes=log.notes,
        )

    # -- use ----------------------------------------------------------------------------------------------------------

    def sequence(self, user_row: int) -> np.ndarray:
        """int32 (n,), item rows of a user, oldest first.

        Args:
            user_row: row of the user.
        """
        return self.indices[self.indptr[user_row] : self.indptr[user_row + 1]]

    def split(
        self,
        strategy: str = "leave_one_out",
        *,
        cold_items: float = 0.0,
        cold_seed: int | Sequence[int] = 0,
        **shares: float,
    ) -> RecSplit:
        """Hold out interactions for validation and test.

        Args:
            strategy: ``leave_one_out`` holds out the last two interactions of each user, ``temporal`` the interactions
                after two points of global time.
            cold_items: share of the items that are held out, too: nobody interacts with them until the test, see
                `cold_items.hold_out_items`; 0: none.
            cold_seed: seed of the choice of these items; several: all items that one of these choices holds.
            **shares: of ``temporal``: ``validation_share`` and ``test_share`` of all interactions, 0.1 each by default.

        Raises:
            ValueError: an unknown strategy, a share out of range, or see `splits.temporal`.
        """
        split = split_by(strategy, self.indptr, self.indices, self.timestamps, **shares)
        if cold_items:
            split = hold_out_items(split, self.num_items, ColdItems(cold_items, cold_seed))
        return split.of(self)

    def k_core(self, k: int) -> RecDataset:
        """The largest subset in which every user and item has at least ``k`` interactions.

        Args:
            k: minimum number of interactions of a user and of an item.

        Raises:
            ValueError: the subset is empty.
        """
        return RecDataset(**k_core_parts(self, k))

    def tables(self) -> dict[str, pa.Table]:
        """The tables of a dataset folder by name, interactions in the order of users and time."""
        lengths = np.diff(self.indptr)
        columns = {
            "user_id": pa.array(self.user_ids, type=pa.string()).take(np.repeat(np.arange(self.num_users), lengths)),
            "item_id": pa.array(self.item_ids, type=pa.string()).take(self.indices),
        }
        numbers = {"timestamp": self.timestamps, "position": self.positions}
        columns |= {name: values for name, values in numbers.items() if values is not None}
        if self.ratings is not None:
            columns["rating"] = pa.array(self.ratings, mask=np.isnan(self.ratings))
        tables = {"interactions": pa.table(columns), "items": self._items}
        return tables | {name: getattr(self, name) for name in TABLES[2:] if getattr(self, name) is not None}

    def save(self, path: str | os.PathLike) -> None:
        """Write Parquet tables and a card with ``configs``, so that ``load_dataset(path, "interactions")`` works.

        Each file is written under a temporary name and renamed, the card last.

        Args:
            path: dataset folder; created if needed.
        """
        summary = f"{self.num_users} users, {self.num_items} items, {self.num_interactions} interactions."
        save_tables(path, self.tables(), self.name, summary)
