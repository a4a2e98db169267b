"""Do vectors tell which pairs belong together? The area under the ROC curve of their cosines."""

from __future__ import annotations

import numpy as np


def pair_auc(vectors: np.ndarray, first: np.ndarray, second: np.ndarray, together: np.ndarray) -> float:
    """Probability that a pair that belongs together has a larger cosine than one that does not; ties count half.

    Args:
        vectors: float (n, d). first, second: int (m,), rows of the pairs. together: bool (m,).

    Raises:
        ValueError: all pairs belong together, or none.
    """
    together = np.asarray(together, dtype=bool)
    if together.all() or not together.any():
        raise ValueError("the pairs must be of both kinds")
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = (unit[first] * unit[second]).sum(axis=1)
    _, place, counts = np.unique(cosines, return_inverse=True, return_counts=True)
    # Rank of a value: that of the middle of all equal ones.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positives, negatives = int(together.sum()), int((~together).sum())
    return float((ranks[together].sum() - positives * (positives + 1) / 2) / (positives * negatives))
