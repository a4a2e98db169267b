"""Text and collaborative vectors as one space for residual k-means."""

from __future__ import annotations

import numpy as np


def check_collaborative(vectors: np.ndarray, count: int) -> np.ndarray:
    """float32 (count, d), finite; a row of zeros is an item about which nothing is known.

    Raises:
        ValueError: a wrong shape, or values that are not finite.
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != count:
        raise ValueError(f"collaborative embeddings must be ({count} items, d), got {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise ValueError("collaborative embeddings hold values that are not finite")
    if not vectors.any():
        raise ValueError("collaborative embeddings are all zero")
    return vectors


def whiten(vectors: np.ndarray, dimensions: int) -> np.ndarray:
    """The leading principal components, all with the same variance; total variance 1.

    Args:
        vectors: float (n, d). Rows of zeros are unknown: they take no part in the statistics and come out as zeros,
            which is the mean.
        dimensions: components kept, at most.

    Returns:
        float32 (n, min(dimensions, d, rank)).
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    known = vectors.any(axis=1)
    centred = vectors[known] - vectors[known].mean(axis=0)
    values, directions = np.linalg.eigh(centred.T @ centred / max(known.sum(), 1))
    order = np.argsort(-values)[:dimensions]
    order = order[values[order] > 1e-9 * max(values.max(), 1e-30)]
    if not len(order):
        return np.zeros((len(vectors), 1), dtype=np.float32)
    result = np.zeros((len(vectors), len(order)))
    result[known] = centred @ directions[:, order] / np.sqrt(values[order] * len(order))
    return result.astype(np.float32)


def whitened_concatenation(
    text: np.ndarray, collaborative: np.ndarray, *, weight: float = 0.5, dimensions: int = 64
) -> np.ndarray:
    """Both kinds of vectors side by side, whitened, so that neither rules by its scale.

    Args:
        text: float (n, d). collaborative: float (n, e), rows of zeros where nothing is known.
        weight: share of the collaborative vectors in the total variance.
        dimensions: principal components kept of each.

    Returns:
        float32 (n, at most 2 * dimensions).

    Raises:
        ValueError: a weight outside [0, 1].
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"collaborative_weight must lie in [0, 1], got {weight}")
    parts = whiten(text, dimensions) * np.sqrt(1 - weight), whiten(collaborative, dimensions) * np.sqrt(weight)
    return np.concatenate(parts, axis=1).astype(np.float32)
