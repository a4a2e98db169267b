"""Do vectors tell which pairs belong together? The area under the ROC curve of their cosines."""

from __future__ import annotations

import numpy as np


def pair_auc(vectors: np.ndarray, first: np.ndarray, second: np.ndarray, together: np.ndarray) -> float:
    """Probability that a pair that belongs together has a larger cosine than one that does not; ties count half.

    Args:
        vectors: float (n, d).
        first: int (m,), the row of each pair's first vector.
        second: int (m,), the row of its second one.
        together: bool (m,), whether the pair belongs together.

    Raises:
        ValueError: all pairs belong together, or none.
    """
    from sklearn.metrics import roc_auc_score

    if np.all(together) or not np.any(together):
        raise ValueError("the pairs must be of both kinds")
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return float(roc_auc_score(together, (unit[first] * unit[second]).sum(axis=1)))
