"""Vectors of items and users in safetensors files, tied to a dataset by its fingerprint."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .files import staged
from .interactions import RecDataset

logger = logging.getLogger(__name__)


def load_item_embeddings(file: str | os.PathLike, dataset: RecDataset) -> np.ndarray:
    """float32 (num_items, d) from a safetensors file with a tensor ``item_embeddings`` (or ``embeddings``).

    Raises:
        ValueError: no such tensor, a wrong number of rows, values that are not finite, or a fingerprint in the file's
            metadata that is not the dataset's.
    """
    try:
        # PyTorch reads what NumPy has no type for: bfloat16.
        with safe_open(file, framework="pt") as handle:
            names = list(handle.keys())
            name = next((n for n in ("item_embeddings", "embeddings") if n in names), None)
            if name is None:
                raise ValueError(f"{file}: no tensor 'item_embeddings' or 'embeddings' (has {names})")
            vectors = handle.get_tensor(name).float().numpy()
            fingerprint = (handle.metadata() or {}).get("fingerprint")
    except SafetensorError as error:
        raise ValueError(f"{file}: not a safetensors file ({error})") from error
    if vectors.ndim != 2 or len(vectors) != dataset.num_items:
        raise ValueError(f"{file}: tensor {name!r} is {vectors.shape}, the dataset has {dataset.num_items} items")
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise ValueError(f"{file}: tensor {name!r}: row {row} holds a value that is not finite")
    if fingerprint is None:
        logger.info("%s carries no fingerprint: its rows are taken to be the dataset's items in order", Path(file).name)
    elif fingerprint not in (dataset.fingerprint, dataset.catalog_fingerprint):
        raise ValueError(f"{file}: made for another dataset (its fingerprint does not match {dataset.name!r})")
    return vectors


def save_embeddings(
    file: str | os.PathLike, dataset: RecDataset, *, items: np.ndarray | None = None, users: np.ndarray | None = None
) -> None:
    """Write ``item_embeddings`` (num_items, d) and/or ``user_embeddings`` (num_users, d), float32, atomically.

    Rows are in the dataset's order, and its fingerprint is in the metadata.

    Raises:
        ValueError: a wrong number of rows.
    """
    tensors = {}
    for name, vectors, count in (("item", items, dataset.num_items), ("user", users, dataset.num_users)):
        if vectors is None:
            continue
        if np.ndim(vectors) != 2 or len(vectors) != count:
            raise ValueError(f"{name}_embeddings must be ({count}, d), got {np.shape(vectors)}")
        tensors[f"{name}_embeddings"] = np.ascontiguousarray(vectors, dtype=np.float32)
    file = Path(file)
    with staged(file.parent) as folder:
        save_file(tensors, folder / file.name, metadata={"fingerprint": dataset.fingerprint})
