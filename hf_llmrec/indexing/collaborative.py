"""Combines text and collaborative vectors into one space for residual k-means."""

from __future__ import annotations

import numpy as np


def check_collaborative(vectors: np.ndarray, count: int) -> np.ndarray:
    """Check collaborative vectors and convert them to float32.

    Args:
        vectors: float (count, d); rows of zeros belong to items without a vector.
        count: number of items.

    Raises:
        ValueError: a wrong shape, values that are not finite, or only zeros.
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
    """The leading principal components, scaled to equal variances and a total variance of 1.

    Args:
        vectors: float (n, d). Rows of zeros are missing vectors: they are left out of the statistics and stay zero,
            which is the mean.
        dimensions: largest number of components.

    Returns:
        float32 (n, min(dimensions, d, rank)).
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    has_vector = vectors.any(axis=1)
    centred = vectors[has_vector] - vectors[has_vector].mean(axis=0)
    values, directions = np.linalg.eigh(centred.T @ centred / max(has_vector.sum(), 1))
    order = np.argsort(-values)[:dimensions]
    order = order[values[order] > 1e-9 * max(values.max(), 1e-30)]
    if not len(order):
        return np.zeros((len(vectors), 1), dtype=np.float32)
    components = np.zeros((len(vectors), len(order)))
    components[has_vector] = centred @ directions[:, order] / np.sqrt(values[order] * len(order))
    return components.astype(np.float32)


def whitened_concatenation(
    text: np.ndarray, collaborative: np.ndarray, *, weight: float = 0.5, dimensions: int = 64
) -> np.ndarray:
    """Whiten and concatenate both kinds of vectors, so that neither dominates by its scale.

    Args:
        text: float (n, d).
        collaborative: float (n, e), rows of zeros for items without a vector.
        weight: share of the collaborative vectors in the total variance, 0 to 1.
        dimensions: largest number of principal components of each kind.

    Returns:
        float32 (n, at most 2 * dimensions).

    Raises:
        ValueError: ``weight`` is outside [0, 1].
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"collaborative_weight must lie in [0, 1], got {weight}")
    parts = whiten(text, dimensions) * np.sqrt(1 - weight), whiten(collaborative, dimensions) * np.sqrt(weight)
    return np.concatenate(parts, axis=1).astype(np.float32)
