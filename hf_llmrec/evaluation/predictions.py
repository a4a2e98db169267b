"""Rankings that were made elsewhere, by RecBole, RecTools or anything else, as a ranker."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.interactions import RecDataset
from .ranker import Ranker

if TYPE_CHECKING:  # commands import this file, and seldom read such files
    import pandas as pd

SUFFIXES = (".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz")


def is_predictions_file(name: str | os.PathLike) -> bool:
    """Whether a name is that of a file of predictions: Parquet, or comma- or tab-separated text."""
    return str(name).endswith(SUFFIXES)


class PredictedRankings(Ranker):
    """Looks rankings up by user id.

    Args:
        rankings: per user id its item ids, best first.
        item_ids: the catalogue, in row order.
        name: of the file, for messages.

    Attributes:
        notes: what was met so far: ``unknown_items`` of the rankings that are not in the catalogue and are left out,
            ``repeated_items`` of which the first counts, ``missing_users`` who were asked for and have no ranking, and
            ``short_lists``, rankings with fewer items than were asked for.
        examples: one item or user id for each note that is not 0.
    """

    def __init__(self, rankings: Mapping[str, Sequence[str]], item_ids: Sequence[str], name: str = "predictions"):
        self.item_ids, self.name = list(item_ids), name
        names = ("unknown_items", "repeated_items", "missing_users", "short_lists")
        self.notes: dict[str, int] = dict.fromkeys(names, 0)
        self.examples: dict[str, str] = {}
        row = {item: number for number, item in enumerate(self.item_ids)}
        self._rows: dict[str, np.ndarray] = {}
        for user, items in rankings.items():
            in_catalogue = [row[item] for item in items if item in row]
            distinct = list(dict.fromkeys(in_catalogue))
            unknown = next((item for item in items if item not in row), "")
            self._note("unknown_items", len(items) - len(in_catalogue), unknown)
            self._note("repeated_items", len(in_catalogue) - len(distinct), str(user))
            self._rows[str(user)] = np.array(distinct, dtype=np.int64)

    def _note(self, name: str, count: int, example: str) -> None:
        self.notes[name] += count
        if count:
            self.examples.setdefault(name, example)

    @classmethod
    def from_file(cls, file: str | os.PathLike, dataset: RecDataset) -> PredictedRankings:
        """Read a file.

        Args:
            file: Parquet, or CSV or TSV with a header, perhaps gzipped. Either one row per user, with ``user_id`` and
                ``item_ids`` (a list; in text a JSON list, or ids between spaces), best first; or one row per user and
                item, with ``user_id``, ``item_id`` and, for their order, ``rank`` (least first) or ``score`` (greatest
                first); without both, that of the rows.
            dataset: what is ranked.

        Raises:
            ValueError: not such a table, no user or no item of the dataset, or a user who occurs twice; names file, row
                and column.
        """
        table = _read(Path(file))
        if "user_id" not in table or not {"item_ids", "item_id"} & set(table):
            raise ValueError(
                f"{file}: needs the columns user_id and item_ids, or user_id and item_id; has {list(table)}"
            )
        empty = table["user_id"].isna().to_numpy()
        if empty.any():
            raise ValueError(f"{file}, row {int(empty.argmax())}: no user_id")
        table = table.assign(user_id=table["user_id"].astype(str))
        rankings = _of_lists(file, table) if "item_ids" in table else _of_rows(file, table)
        made = cls(rankings, dataset.item_ids, str(file))
        if not any(user in dataset.user_row for user in rankings):
            example = next(iter(rankings), "none at all")
            raise ValueError(f"{file}: no user of {dataset.name!r} is in column user_id (there is {example!r})")
        if not any(len(rows) for rows in made._rows.values()):
            raise ValueError(f"{file}: no item of {dataset.name!r} is ranked (there is {made.examples!r})")
        return made

    def rank(self, histories, k, *, user_ids=None, times=None, exclude=None, allowed=None):
        if user_ids is None:
            raise ValueError(f"{self.name} has rankings by user id: user_ids are needed")
        rows = np.full((len(histories), k), -1, dtype=np.int64)
        for number, user in enumerate(user_ids):
            items = self._rows.get(user)
            if items is None:
                self._note("missing_users", 1, user)
                continue
            if exclude is not None:
                items = items[~np.isin(items, exclude[number])]
            if allowed is not None:
                items = items[np.isin(items, allowed)]
            self._note("short_lists", int(len(items) < k), user)
            rows[number, : len(items[:k])] = items[:k]
        # Not all files have scores, and theirs are not comparable: the order is all that is used.
        scores = np.where(rows >= 0, -np.arange(k, dtype=np.float64), -np.inf)
        return rows, scores

    def report(self) -> list[str]:
        """Lines on what was met, for people."""
        words = {
            "unknown_items": "ranked items are not in the catalogue and are left out",
            "repeated_items": "items occur again in a ranking, where the first counts",
            "missing_users": "users have no ranking and count as misses",
            "short_lists": "rankings are shorter than what is evaluated",
        }
        met = [(name, count) for name, count in self.notes.items() if count]
        return [f"{self.name}: {count:,} {words[name]} (such as {self.examples[name]!r})" for name, count in met]


def _read(file: Path) -> pd.DataFrame:
    import pandas as pd

    if not file.is_file():
        raise ValueError(f"{file}: no such file of predictions")
    try:
        if file.suffix == ".parquet":
            return pd.read_parquet(file)
        # Ids stay text: 007 is not 7.
        return pd.read_csv(file, sep="\t" if ".tsv" in file.suffixes else ",", dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise ValueError(f"{file}: not a readable table ({' '.join(str(error).split())})") from error


def _of_lists(file: Any, table: pd.DataFrame) -> dict[str, list[str]]:
    repeated = table["user_id"].duplicated()
    if repeated.any():
        row = int(repeated.to_numpy().argmax())
        raise ValueError(f"{file}, row {row}: user {table['user_id'].iloc[row]!r} occurs twice")
    rankings: dict[str, list[str]] = {}
    for row, (user, value) in enumerate(zip(table["user_id"], table["item_ids"], strict=True)):
        if isinstance(value, str):
            try:
                value = json.loads(value) if value.lstrip().startswith("[") else value.split()
            except json.JSONDecodeError as error:
                raise ValueError(f"{file}, row {row}, column item_ids: not a JSON list ({error})") from error
        if not isinstance(value, (list, tuple, np.ndarray)):
            raise ValueError(f"{file}, row {row}, column item_ids: a list of item ids is needed, got {value!r}")
        rankings[user] = [str(item) for item in value]
    return rankings


def _of_rows(file: Any, table: pd.DataFrame) -> dict[str, list[str]]:
    order = next((name for name in ("rank", "score") if name in table), None)
    if order is not None:
        try:
            table = table.assign(**{order: table[order].astype(float)})
        except (ValueError, TypeError) as error:
            raise ValueError(f"{file}, column {order}: not all are numbers ({error})") from error
        missing = table[order].isna().to_numpy()
        if missing.any():
            raise ValueError(f"{file}, row {int(missing.argmax())}, column {order}: no number")
        table = table.sort_values(order, ascending=order == "rank", kind="stable")
    items = table["item_id"].astype(str)
    return {str(user): list(group) for user, group in items.groupby(table["user_id"], sort=False)}
