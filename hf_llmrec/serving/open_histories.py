"""Opens a table of histories of any kind."""

from __future__ import annotations

import os
from pathlib import Path

from ..data.files import visible_files
from ..data.interactions import RecDataset
from .histories import JSON_LINES, DatasetHistories, Histories, JsonLinesHistories
from .parquet_histories import ParquetHistories


def open_histories(path: str | os.PathLike) -> Histories:
    """Open a table of histories.

    Args:
        path: a Parquet file or a file of JSON lines with ``user_id``, ``history`` (a list of item ids, oldest first)
            and optionally the other fields of requests; a folder of such Parquet files, in the order of their names; or
            a dataset folder or Hub dataset, of which each user's interactions are the history.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: another kind of file, a column that is missing or of the wrong type, or an invalid dataset.
    """
    place, name = Path(path), str(path)
    if place.is_dir():
        if any((place / each).exists() for each in ("interactions.parquet", "interactions")):
            return DatasetHistories(RecDataset.load(place), name)
        files = visible_files(place.glob("*.parquet"))
        if not files:
            raise ValueError(f"{name}: neither a dataset folder (interactions.parquet) nor one of Parquet files")
        return ParquetHistories(files, name)
    if name.endswith((".parquet", *JSON_LINES)):
        if not place.is_file():
            raise FileNotFoundError(f"{name}: no such file of histories")
        return ParquetHistories([place], name) if name.endswith(".parquet") else JsonLinesHistories(place)
    if place.is_file():
        raise ValueError(f"{name}: histories are read from .parquet, {', '.join(JSON_LINES)} or a dataset folder")
    return DatasetHistories(RecDataset.load(path), name)
