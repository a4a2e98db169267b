"""The two JSON files that turn a saved model into a recommender: its catalogue and its settings."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from transformers.utils.hub import cached_file

from .files import read_json, write_json

if TYPE_CHECKING:  # reading a folder does not need pyarrow
    from .interactions import RecDataset

CATALOG_FILE = "item_catalog.json"
RECOMMENDER_FILE = "recommender.json"
# The recommenders that a fusion is made of, a folder each.
PARTS_FOLDER = "parts"
PART_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# The sentence-transformers model of a text encoder.
TEXT_ENCODER_FOLDER = "text_encoder"
# How a model was trained; absent for models that were not.
TRAINING_REPORT = "training_report.json"
# In a checkpoint: what the run needs to be resumed.
RUN_FILE = "training_run.json"
# Options of ``from_pretrained`` that select files of a Hub repository and how they are fetched.
HUB_OPTIONS = ("revision", "token", "subfolder", "cache_dir", "force_download", "local_files_only")


@dataclass(frozen=True)
class ItemCatalog:
    """The items of a model, in the order of its rows.

    Args:
        item_ids: id of each row.
        titles: title of each row; "" for items without one.
        dataset_fingerprint: `RecDataset.fingerprint` of the dataset that the model was trained on; "" if it is not
            recorded.
    """

    item_ids: list[str]
    titles: list[str]
    dataset_fingerprint: str

    @classmethod
    def of_ids(cls, item_ids: Sequence[str]) -> ItemCatalog:
        """A catalogue without titles and without a dataset.

        Args:
            item_ids: id of each row.
        """
        return cls(list(item_ids), [""] * len(item_ids), "")

    @classmethod
    def of_dataset(cls, dataset: RecDataset) -> ItemCatalog:
        """The catalogue of a dataset.

        Args:
            dataset: dataset whose items these are, in the same order.
        """
        return cls(dataset.item_ids, dataset.titles, dataset.fingerprint)

    def answers(self, rows: np.ndarray, scores: np.ndarray) -> list[list[dict[str, Any]]]:
        """Convert rankings of rows to ids, titles and scores.

        Args:
            rows: int64 (n, k), item rows of each ranking, padded with -1.
            scores: float (n, k), score of each item.

        Returns:
            per ranking a list of ``{"item_id", "title", "score"}``, in the order of the ranking.
        """
        return [
            [
                {"item_id": self.item_ids[row], "title": self.titles[row], "score": float(score)}
                for row, score in zip(*pair, strict=True)
                if row >= 0
            ]
            for pair in zip(rows, scores, strict=True)
        ]

    def check_bonus(self, item_bonus: np.ndarray | None, count: int) -> np.ndarray | None:
        """Check per-item scores and give every request its row.

        Args:
            item_bonus: float (num_items,) or (count, num_items), finite; ``None``: none.
            count: number of requests.

        Returns:
            float (count, num_items), read-only; ``None`` without a bonus.

        Raises:
            ValueError: another shape, or a value that is not finite.
        """
        if item_bonus is None:
            return None
        shape = (count, len(self.item_ids))
        values = np.asarray(item_bonus)
        if values.shape not in (shape, shape[1:]) or not np.issubdtype(values.dtype, np.floating):
            raise ValueError(f"item_bonus must be float {shape[1:]} or {shape}, got {values.dtype} {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError(
                "item_bonus has values that are not finite; use exclude for items that must not be returned"
            )
        return np.broadcast_to(values, shape)

    def check_rows(self, rows: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
        """Validate lists of candidates, and convert them to int64 arrays.

        Args:
            rows: one int array of item rows per history.
            count: number of histories.

        Raises:
            ValueError: the number of lists differs from ``count``, or a row is not in the catalogue. The message names
                the list.
        """
        if len(rows) != count:
            raise ValueError(f"{len(rows)} lists of candidates for {count} histories")
        candidates = [np.asarray(each, dtype=np.int64).reshape(-1) for each in rows]
        for number, each in enumerate(candidates):
            if len(each) and not (0 <= each.min() and each.max() < len(self.item_ids)):
                raise ValueError(f"candidates {number}: item rows must lie in 0 to {len(self.item_ids) - 1}")
        return candidates

    def save(self, folder: str | os.PathLike) -> None:
        """Write ``item_catalog.json``.

        Args:
            folder: folder of the model.
        """
        items = [{"item_id": i, "title": t} for i, t in zip(self.item_ids, self.titles, strict=True)]
        write_json(Path(folder) / CATALOG_FILE, {"dataset_fingerprint": self.dataset_fingerprint, "items": items})

    @classmethod
    def load(cls, path_or_hub_id: str | os.PathLike, **hub_kwargs: Any) -> ItemCatalog:
        """Read ``item_catalog.json`` from a folder or Hub repository.

        Args:
            path_or_hub_id: folder or Hub id of the model.
            **hub_kwargs: options of ``from_pretrained`` such as ``revision``, see `HUB_OPTIONS`.

        Raises:
            FileNotFoundError: there is no such file.
        """
        value = read_json(resolve_file(path_or_hub_id, CATALOG_FILE, **hub_kwargs))
        items = value["items"]
        return cls([x["item_id"] for x in items], [x["title"] for x in items], value["dataset_fingerprint"])


def copy_recommender(folder: str | os.PathLike, output: str | os.PathLike) -> None:
    """Copy a recommender folder without its checkpoints, hidden files and TensorBoard's ``runs``.

    Args:
        folder: folder to copy.
        output: folder to copy to; it may exist.
    """
    ignore = shutil.ignore_patterns("checkpoint-*", ".*", "runs")
    shutil.copytree(folder, output, dirs_exist_ok=True, ignore=ignore)


def save_settings(folder: str | os.PathLike, method: str, settings: dict[str, Any]) -> None:
    """Write ``recommender.json``.

    Args:
        folder: folder of the model.
        method: name of the method, as registered with `hf_llmrec.AutoRecommender`.
        settings: how the model recommends: prompt form, beams, normalisation and so on (JSON values).
    """
    write_json(Path(folder) / RECOMMENDER_FILE, {"method": method, **settings})


def load_settings(path_or_hub_id: str | os.PathLike, **hub_kwargs: Any) -> dict[str, Any]:
    """Read ``recommender.json`` from a folder or Hub repository.

    Args:
        path_or_hub_id: folder or Hub id of the model.
        **hub_kwargs: options of ``from_pretrained`` such as ``revision``, see `HUB_OPTIONS`.

    Raises:
        FileNotFoundError: there is no such file: not a recommender folder.
    """
    return read_json(resolve_file(path_or_hub_id, RECOMMENDER_FILE, **hub_kwargs))


def resolve_file(path_or_hub_id: str | os.PathLike, name: str, **hub_kwargs: Any) -> str:
    """Local path of a file in a folder or Hub repository; it is downloaded if needed.

    Args:
        path_or_hub_id: folder or Hub id of the model.
        name: name of the file.
        **hub_kwargs: options of ``from_pretrained`` such as ``revision``, see `HUB_OPTIONS`.

    Raises:
        FileNotFoundError: the file is missing. The message names the repository and the file.
    """
    try:
        # None only if its errors are switched off.
        return cast("str", cached_file(str(path_or_hub_id), name, **hub_kwargs))
    except OSError as error:
        raise FileNotFoundError(
            f"{path_or_hub_id} has no {name}: it is not a recommender folder of hf_llmrec ({error})"
        ) from error
