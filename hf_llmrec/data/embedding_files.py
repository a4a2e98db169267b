"""Item and user vectors in safetensors files, with the fingerprint of the data that they were made from."""

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
    """Read float32 (num_items, d) from the tensor ``item_embeddings`` (or ``embeddings``) of a safetensors file.

    The fingerprint in the file's metadata is compared with the data: the catalogue, and for vectors that were fitted on
    interactions also the interactions and the split.

    Args:
        file: safetensors file whose rows are the items of the dataset, in order.
        dataset: dataset that the vectors are used with.
        split: split that the vectors are used with; required for vectors that were fitted on a split.
        other_data: accept vectors that were fitted on other interactions or another split.

    Raises:
        ValueError: there is no such tensor, the number of rows is wrong, a value is not finite, or the vectors belong
            to another catalogue, other interactions or another split.
    """
    try:
        # Read with PyTorch because NumPy has no bfloat16.
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
    """Read the fingerprint of the data that an embedding file was made from.

    Args:
        file: safetensors file.

    Returns:
        the fingerprint; a str for files of version 0.1; ``None`` if the file records none.

    Raises:
        ValueError: not a safetensors file, or a fingerprint of another version. The message names the file.
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
    """Write ``item_embeddings`` and ``user_embeddings`` as float32, atomically, with the fingerprint of the data.

    Args:
        file: safetensors file to write.
        dataset: dataset whose items and users the rows are, in order.
        items: float (num_items, d), vectors of the items; ``None``: none are written.
        users: float (num_users, d), vectors of the users; ``None``: none are written.
        split: split on whose training interactions the vectors were fitted; ``None``: they were made from texts alone,
            and only the catalogue is recorded.

    Raises:
        ValueError: the number of rows is wrong, or user vectors are given without a split.
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
