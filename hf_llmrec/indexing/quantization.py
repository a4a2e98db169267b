"""The result of an indexer: codes that may still collide, and the space of their codewords."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .rqvae.modeling_rqvae import RQVAEModel


@dataclass
class Quantization:
    """Codes before the collision-free assignment, with their codebooks and the quantised vectors.

    Attributes:
        codes: int32 (n, levels).
        codebooks: per level float32 (size, dim), the codewords.
        inputs: float32 (n, dim), the quantised vectors, in the space of the codewords.
        variance_unexplained: share of the embeddings' centred variance that the codes do not reconstruct.
        model: the RQ-VAE that made the codes; ``None`` for other indexers.
    """

    codes: np.ndarray
    codebooks: list[np.ndarray]
    inputs: np.ndarray
    variance_unexplained: float
    model: RQVAEModel | None = None


def variance_unexplained(embeddings: np.ndarray, reconstruction: np.ndarray) -> float:
    """``sum |x - reconstruction|^2 / sum |x - mean|^2``: 0 is perfect, 1 is no better than the mean.

    Args:
        embeddings: float (n, dim).
        reconstruction: float (n, dim).
    """
    embeddings = np.asarray(embeddings, dtype=np.float64)
    total = ((embeddings - embeddings.mean(axis=0)) ** 2).sum()
    return float(((embeddings - reconstruction) ** 2).sum() / total) if total > 0 else 0.0
