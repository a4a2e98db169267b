"""Fingerprints of the interactions of a dataset and of what a split holds out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .splits import RecSplit


def interactions_fingerprint(
    user_ids: Sequence[str], item_ids: Sequence[str], indptr: np.ndarray, indices: np.ndarray
) -> str:
    """sha256 (hex) of who interacted with what in which order.

    It does not depend on the order of the users or the catalogue, on items without interactions, or on the times.

    Args:
        user_ids: ids of the users, one per row of ``indptr``.
        item_ids: ids of the catalogue, in row order.
        indptr: int (num_users + 1,), where the interactions of each user begin in ``indices``.
        indices: int (num_interactions,), item rows per user, oldest first.
    """
    used = np.flatnonzero(np.bincount(indices, minlength=len(item_ids)))
    ids, order = _sorted([item_ids[row] for row in used.tolist()])
    place = np.zeros(len(item_ids), dtype=np.int64)
    place[used[order]] = np.arange(len(used))
    users, order = _sorted(user_ids)
    lengths = np.diff(indptr)[order]
    # Positions of the interactions, with the users in the order of their ids.
    starts = np.asarray(indptr)[:-1][order] - np.concatenate([[0], np.cumsum(lengths)[:-1]])
    positions = np.repeat(starts, lengths) + np.arange(len(indices))
    return _digest(users, ids, lengths, place[np.asarray(indices)[positions]])


def split_fingerprint(user_ids: Sequence[str], split: RecSplit) -> str:
    """``STRATEGY[:CUT...][:COLD]:SHA256``; the hash covers how many interactions of a user precede each held-out one.

    ``COLD`` is the share and seed of held-out items.

    Args:
        user_ids: ids of the users, in row order.
        split: a split of these users.
    """
    places = np.full((3, len(user_ids)), -1, dtype=np.int64)
    places[0] = np.diff(split.train_indptr)
    for row, cases in ((1, split.validation), (2, split.test)):
        places[row, cases.user_rows] = cases.histories.lengths
    users, order = _sorted(user_ids)
    held_out = _digest(users, *places[:, order])
    cold = [] if split.cold is None else [str(split.cold)]
    return ":".join([split.strategy, *map(str, split.cuts), *cold, held_out])


def _sorted(ids: Sequence[str]) -> tuple[pa.Array, np.ndarray]:
    """The ids sorted by their bytes, and their rows."""
    array = pa.array(ids, type=pa.large_string())
    # pyarrow generates this function at import, so that type checkers do not see it.
    order = pc.array_sort_indices(array)  # pyright: ignore[reportAttributeAccessIssue]
    return array.take(order), order.to_numpy().astype(np.int64)


def _digest(*parts: pa.Array | np.ndarray) -> str:
    """sha256 (hex) of arrays of strings and integers, all length-prefixed, so that no two inputs hash equal bytes."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(_integers(part))
        else:
            texts = [text.encode() for text in part.to_pylist()]
            content = b"".join(texts)
            digest.update(_integers([len(text) for text in texts]) + _integers([len(content)]) + content)
    return digest.hexdigest()


def _integers(values: np.ndarray | Sequence[int]) -> bytes:
    return len(values).to_bytes(8, "little") + np.ascontiguousarray(values, dtype="<i8").tobytes()
