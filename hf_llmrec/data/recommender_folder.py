"""The two JSON files that make a saved model a recommender: its catalogue and how it recommends."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers.utils import cached_file

from .files import read_json, write_json

if TYPE_CHECKING:  # reading a folder needs no tables
    from .interactions import RecDataset

CATALOG_FILE = "item_catalog.json"
RECOMMENDER_FILE = "recommender.json"
# How a model was trained, for those that were.
TRAINING_REPORT = "training_report.json"
# In a checkpoint: what it can be resumed with.
RUN_FILE = "training_run.json"
# What says where in a Hub repository, and how, files are read: as in ``from_pretrained``.
HUB_OPTIONS = ("revision", "token", "subfolder", "cache_dir", "force_download", "local_files_only")


@dataclass(frozen=True)
class ItemCatalog:
    """Items in embedding-row order.

    Attributes:
        item_ids, titles: one entry per row.
        dataset_fingerprint: of the dataset that the model was trained on.
    """

    item_ids: list[str]
    titles: list[str]
    dataset_fingerprint: str

    @classmethod
    def of_ids(cls, item_ids: Sequence[str]) -> ItemCatalog:
        """Items without titles, of an unknown dataset."""
        return cls(list(item_ids), [""] * len(item_ids), "")

    @classmethod
    def of_dataset(cls, dataset: RecDataset) -> ItemCatalog:
        """The items of a dataset."""
        return cls(dataset.item_ids, dataset.titles, dataset.fingerprint)

    def answers(self, rows: np.ndarray, scores: np.ndarray) -> list[list[dict[str, Any]]]:
        """Rankings as ids, titles and scores.

        Args:
            rows: int64 (n, k), -1 for padding.
            scores: float (n, k).

        Returns:
            per ranking a list of ``{"item_id", "title", "score"}``, in its order.
        """
        return [
            [
                {"item_id": self.item_ids[row], "title": self.titles[row], "score": float(score)}
                for row, score in zip(*pair, strict=True)
                if row >= 0
            ]
            for pair in zip(rows, scores, strict=True)
        ]

    def check_rows(self, rows: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
        """Lists of candidates as int64 arrays.

        Args:
            rows: int arrays of item rows.
            count: how many there must be.

        Raises:
            ValueError: another number of lists, or a row that is not in the catalogue; names the list.
        """
        if len(rows) != count:
            raise ValueError(f"{len(rows)} lists of candidates for {count} histories")
        found = [np.asarray(each, dtype=np.int64).reshape(-1) for each in rows]
        for number, each in enumerate(found):
            if len(each) and not (0 <= each.min() and each.max() < len(self.item_ids)):
                raise ValueError(f"candidates {number}: item rows must lie in 0 to {len(self.item_ids) - 1}")
        return found

    def save(self, folder: str | os.PathLike) -> None:
        """Write ``item_catalog.json``."""
        items = [{"item_id": i, "title": t} for i, t in zip(self.item_ids, self.titles, strict=True)]
        write_json(Path(folder) / CATALOG_FILE, {"dataset_fingerprint": self.dataset_fingerprint, "items": items})

    @classmethod
    def load(cls, path_or_hub_id: str | os.PathLike, **hub_kwargs: Any) -> ItemCatalog:
        """Read ``item_catalog.json`` of a folder or Hub repository."""
        value = read_json(resolve_file(path_or_hub_id, CATALOG_FILE, **hub_kwargs))
        items = value["items"]
        return cls([x["item_id"] for x in items], [x["title"] for x in items], value["dataset_fingerprint"])


def copy_recommender(folder: str | os.PathLike, output: str | os.PathLike) -> None:
    """Copy a recommender folder into another one, without checkpoints, hidden files and TensorBoard's ``runs``."""
    ignore = shutil.ignore_patterns("checkpoint-*", ".*", "runs")
    shutil.copytree(folder, output, dirs_exist_ok=True, ignore=ignore)


def save_settings(folder: str | os.PathLike, method: str, settings: dict[str, Any]) -> None:
    """Write ``recommender.json``: the method's name and how it recommends (prompt form, beams, normalisation...)."""
    write_json(Path(folder) / RECOMMENDER_FILE, {"method": method, **settings})


def load_settings(path_or_hub_id: str | os.PathLike, **hub_kwargs: Any) -> dict[str, Any]:
    """Read ``recommender.json`` of a folder or Hub repository.

    Raises:
        FileNotFoundError: there is none: not a recommender folder.
    """
    return read_json(resolve_file(path_or_hub_id, RECOMMENDER_FILE, **hub_kwargs))


def resolve_file(path_or_hub_id: str | os.PathLike, name: str, **hub_kwargs: Any) -> str:
    """Local path of ``name`` in a folder or Hub repository; FileNotFoundError names both when it is missing."""
    try:
        return cached_file(str(path_or_hub_id), name, **hub_kwargs)
    except OSError as error:
        raise FileNotFoundError(
            f"{path_or_hub_id} has no {name}: it is not a recommender folder of hf_llmrec ({error})"
        ) from error
