"""`RecDataset`: who interacted with what, and when; string ids outside, int32 CSR arrays inside."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .assembly import assemble
from .files import write_text
from .fingerprints import DataFingerprint, catalog_fingerprint, ids_fingerprint
from .interaction_fingerprints import interactions_fingerprint, split_fingerprint
from .loading import TABLES, TableSource, arrow_table, read_tables
from .splits import RecSplit, leave_one_out, temporal

ITEM_TEXTS = ("title", "description", "brand", "categories")


def _strings(table: pa.Table, column: str) -> list[str]:
    """A text column as list of str, "" where missing."""
    if column not in table.column_names:
        return [""] * len(table)
    return [(value or "").strip() for value in table.column(column).to_pylist()]


class RecDataset:
    """An immutable recommendation dataset. Make one with `load`, `from_datasets` or `from_pandas`.

    Attributes:
        user_ids: str, in order of first appearance in the interactions. item_ids: str, in the order of the items table.
        indptr: int32 (num_users + 1,). indices: int32 (num_interactions,), item rows per user in time order.
        timestamps: int64 (num_interactions,), seconds, aligned with ``indices``, or ``None``.
        positions: int64 (num_interactions,), as given, which order what has no or equal timestamps, or ``None``.
        ratings: float64 (num_interactions,), NaN where there is none, or ``None``. No model reads them.
        titles, descriptions, brands, categories: one str per item, "" where missing. A title is never empty: it falls
            back to description, brand, id.
        reviews, intentions, preferences: pyarrow tables or ``None``.
        notes: oddities that were accepted, counted.
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
        self.reviews, self.intentions, self.preferences = (
            tables.get(t) for t in ("reviews", "intentions", "preferences")
        )
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
        """sha256 (hex) of item and user ids, the ``fingerprint`` of version 0.1."""
        return ids_fingerprint(self.item_ids, self.user_ids)

    @cached_property
    def interactions_fingerprint(self) -> str:
        """sha256 (hex) of users, items and each user's order, without the times."""
        return interactions_fingerprint(self.user_ids, self.item_ids, self.indptr, self.indices)

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of catalogue and interactions."""
        both = f"{self.catalog_fingerprint}:{self.interactions_fingerprint}"
        return hashlib.sha256(both.encode()).hexdigest()

    def data_fingerprint(self, split: RecSplit | None = None) -> DataFingerprint:
        """Of catalogue, interactions and, where it is given, one of this dataset's splits."""
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
            path_or_hub_id: a folder with ``interactions.parquet``, ``items.parquet`` and optional tables, or a Hub id
                whose dataset has configurations of these names.
            revision: of the Hub dataset.
            k_core: see `RecDataset.k_core`; 0 keeps everything.
            time_unit: of timestamps: ``s``, ``ms``, ``us``, ``ns`` or ``D`` (days); ``None``: by their magnitude.

        Raises:
            FileNotFoundError: no such folder, or a table is missing.
            ValueError: bad content; names file, row and column.
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
            interactions, items, reviews, intentions, preferences: each a `datasets.Dataset` or `IterableDataset`, a
                pyarrow table, a pandas frame, a dictionary of columns or a list of records.
            name: of the dataset.
            time_unit: of timestamps: ``s``, ``ms``, ``us``, ``ns`` or ``D`` (days); ``None``: by their magnitude.

        Raises:
            TypeError: another type of table. ValueError: bad content; names table, row and column.
        """
        given = dict(zip(TABLES, (interactions, items, reviews, intentions, preferences), strict=True))
        tables = {t: (arrow_table(value, t, t), TableSource(t)) for t, value in given.items() if value is not None}
        return cls._from_tables(tables, name, time_unit)

    @classmethod
    def from_pandas(
        cls, interactions: Any, items: Any = None, *, columns: Mapping[str, str] | None = None, **options: Any
    ) -> RecDataset:
        """Build from pandas frames, whose columns may have other names.

        Args:
            interactions: one row per interaction: user, item, and a time or a position.
            items: one row per item; ``None``: the items of the interactions, without texts.
            columns: names in the frames, and which column of a dataset folder each is, such as
                ``{"customer": "user_id", "sku": "item_id", "bought_at": "timestamp", "name": "title"}``. Columns that
                are not named here keep their names; those of a dataset folder are read, others are not.
            options: of `from_datasets`, such as ``name`` and ``time_unit``.

        Raises:
            ValueError: a column that neither frame has, or bad content; names table, row and column.

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
        """int32 item rows of a user, oldest first."""
        return self.indices[self.indptr[user_row] : self.indptr[user_row + 1]]

    def split(self, strategy: str = "leave_one_out", **shares: float) -> RecSplit:
        """Hold interactions out: ``leave_one_out`` (per user, by time) or ``temporal`` (at points of global time)."""
        if strategy == "leave_one_out":
            return leave_one_out(self.indptr, self.indices).of(self)
        if strategy == "temporal":
            return temporal(self.indptr, self.indices, self.timestamps, **shares).of(self)
        raise ValueError(f"unknown split {strategy!r}: leave_one_out or temporal")

    def k_core(self, k: int) -> RecDataset:
        """The largest part in which every user and item has at least ``k`` interactions (iterative).

        Raises:
            ValueError: nothing is left.
        """
        users = np.repeat(np.arange(self.num_users), np.diff(self.indptr))
        keep = np.ones(self.num_interactions, dtype=bool)
        while True:
            user_counts = np.bincount(users[keep], minlength=self.num_users)
            item_counts = np.bincount(self.indices[keep], minlength=self.num_items)
            still = keep & (user_counts[users] >= k) & (item_counts[self.indices] >= k)
            if still.sum() == keep.sum():
                break
            keep = still
        if not keep.any():
            raise ValueError(f"dataset {self.name!r}: no user and item is left in the {k}-core")
        kept_users, kept_items = np.unique(users[keep]), np.unique(self.indices[keep])
        ids = [self.user_ids[user] for user in kept_users]
        items = self._items.take(pa.array(kept_items))
        value_sets = {"user_id": pa.array(ids, type=pa.string()), "item_id": items.column("item_id").combine_chunks()}
        tables = {}
        for table in ("reviews", "intentions", "preferences"):
            value = getattr(self, table)
            if value is not None:
                for column, known in value_sets.items():
                    if column in value.column_names:
                        value = value.filter(
                            pc.is_in(value.column(column), value_set=known.cast(value.column(column).type))
                        )
                tables[table] = value
        if "preferences" in tables:
            # They sum up all but a user's last two. Who has lost some holds out others now, which they may tell of.
            whole = np.bincount(users[keep], minlength=self.num_users)[kept_users] == np.diff(self.indptr)[kept_users]
            same = pa.array([user for user, is_whole in zip(ids, whole, strict=True) if is_whole], type=pa.string())
            column = tables["preferences"].column("user_id")
            tables["preferences"] = tables["preferences"].filter(pc.is_in(column, value_set=same.cast(column.type)))
        notes = {name: self.notes[name] for name in ("time_ties", "repeated_pairs", "positions_against_time")}
        return RecDataset(
            name=self.name,
            user_ids=ids,
            items=items,
            indptr=np.concatenate([[0], np.cumsum(np.bincount(users[keep], minlength=self.num_users)[kept_users])]),
            indices=np.searchsorted(kept_items, self.indices[keep]),
            timestamps=None if self.timestamps is None else self.timestamps[keep],
            positions=None if self.positions is None else self.positions[keep],
            ratings=None if self.ratings is None else self.ratings[keep],
            tables=tables,
            notes=notes,
        )

    def save(self, path: str | os.PathLike) -> None:
        """Write Parquet tables and a card with ``configs``, so that ``load_dataset(path, "interactions")`` works.

        Each file is written under a temporary name and renamed, the card last.
        """
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
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
        tables |= {t: getattr(self, t) for t in TABLES[2:] if getattr(self, t) is not None}
        for name, table in tables.items():
            temporary = path / f".{name}.parquet.tmp"
            pq.write_table(table, temporary)
            os.replace(temporary, path / f"{name}.parquet")
        configs = "\n".join(
            f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}.parquet" for name in tables
        )
        write_text(
            path / "README.md",
            f"---\nconfigs:\n{configs}\ntags:\n- recommendation\n- hf_llmrec\n---\n\n# {self.name}\n\n"
            f"{self.num_users} users, {self.num_items} items, {self.num_interactions} interactions.\n",
        )
