"""Vectors of items and users in safetensors files, which carry the fingerprint of the data they were made from."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .files import staged
from .fingerprints import DataFingerprint
from .interactions import RecDataset
from .same_data import check_same_data
from .splits import RecSplit

logger = logging.getLogger(__name__)


def load_item_embeddings(
    file: str | os.PathLike, dataset: RecDataset, split: RecSplit | None = None, *, other_data: bool = False
) -> np.ndarray:
    """float32 (num_items, d) from a safetensors file with a tensor ``item_embeddings`` (or ``embeddings``).

    Args:
        file: its rows are the dataset's items in order. What its metadata record of the data is compared: of vectors
            that were fitted on interactions, these and the split, too.
        dataset, split: what the vectors are used with. split: needed for vectors that were fitted under one.
        other_data: go on although they were fitted on other interactions or another split.

    Raises:
        ValueError: no such tensor, a wrong number of rows, values that are not finite, or vectors of another catalogue,
            other interactions or another split.
    """
    try:
        # PyTorch reads what NumPy has no type for: bfloat16.
        with safe_open(file, framework="pt") as handle:
            names = list(handle.keys())
            name = next((n for n in ("item_embeddings", "embeddings") if n in names), None)
            if name is None:
                raise ValueError(f"{file}: no tensor 'item_embeddings' or 'embeddings' (has {names})")
            vectors = handle.get_tensor(name).float().numpy()
            recorded = _recorded(handle.metadata(), str(file))
    except SafetensorError as error:
        raise ValueError(f"{file}: not a safetensors file ({error})") from error
    if vectors.ndim != 2 or len(vectors) != dataset.num_items:
        raise ValueError(f"{file}: tensor {name!r} is {vectors.shape}, the dataset has {dataset.num_items} items")
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise ValueError(f"{file}: tensor {name!r}: row {row} holds a value that is not finite")
    if recorded is None:
        logger.info("%s carries no fingerprint: its rows are taken to be the dataset's items in order", Path(file).name)
    else:
        check_same_data(str(file), recorded, dataset, split, other_data=other_data)
    return vectors


def read_data_fingerprint(file: str | os.PathLike) -> DataFingerprint | str | None:
    """What an embedding file records of the data it was made from; a str in files of version 0.1, ``None``: nothing.

    Raises:
        ValueError: not a safetensors file, or a fingerprint of another version; names the file.
    """
    try:
        with safe_open(file, framework="numpy") as handle:
            return _recorded(handle.metadata(), str(file))
    except SafetensorError as error:
        raise ValueError(f"{file}: not a safetensors file ({error})") from error


def _recorded(metadata: dict[str, str] | None, file: str) -> DataFingerprint | str | None:
    metadata = metadata or {}
    if "data_fingerprint" not in metadata:
        return metadata.get("fingerprint")
    try:
        value = json.loads(metadata["data_fingerprint"])
    except ValueError as error:
        raise ValueError(f"{file}: its data fingerprint is not JSON ({error})") from error
    return DataFingerprint.from_dict(value, file)


def save_embeddings(
    file: str | os.PathLike,
    dataset: RecDataset,
    *,
    items: np.ndarray | None = None,
    users: np.ndarray | None = None,
    split: RecSplit | None = None,
) -> None:
    """Write ``item_embeddings`` and/or ``user_embeddings``, float32, atomically, with the data's fingerprint.

    Args:
        file: the safetensors file.
        dataset: rows are in its order.
        items: float (num_items, d). users: float (num_users, d).
        split: on whose training interactions the vectors were fitted; ``None``: they were made from texts alone, so
            that only the catalogue is recorded.

    Raises:
        ValueError: a wrong number of rows, or vectors of users without a split.
    """
    if users is not None and split is None:
        raise ValueError("user_embeddings are fitted on interactions: give the split they were fitted on")
    tensors = {}
    for name, vectors, count in (("item", items, dataset.num_items), ("user", users, dataset.num_users)):
        if vectors is None:
            continue
        if np.ndim(vectors) != 2 or len(vectors) != count:
            raise ValueError(f"{name}_embeddings must be ({count}, d), got {np.shape(vectors)}")
        tensors[f"{name}_embeddings"] = np.ascontiguousarray(vectors, dtype=np.float32)
    made_from = DataFingerprint(dataset.catalog_fingerprint) if split is None else dataset.data_fingerprint(split)
    file = Path(file)
    with staged(file.parent) as folder:
        save_file(tensors, folder / file.name, metadata={"data_fingerprint": json.dumps(made_from.to_dict())})
