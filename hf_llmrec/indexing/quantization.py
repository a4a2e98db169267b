"""What an indexer hands over: codes that may still collide, and the space they were made in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .rqvae.modeling_rqvae import RQVAEModel


@dataclass
class Quantization:
    """Codes before the collision-free assignment, and what they were made from.

    Attributes:
        codes: int32 (n, levels).
        codebooks: per level float32 (size, dim).
        inputs: float32 (n, dim), the vectors that were quantised, in the space of the codewords.
        variance_unexplained: share of the embeddings' centred variance that their codes do not reconstruct.
        model: the RQ-VAE, where it is one.
    """

    codes: np.ndarray
    codebooks: list[np.ndarray]
    inputs: np.ndarray
    variance_unexplained: float
    model: RQVAEModel | None = None


def variance_unexplained(embeddings: np.ndarray, reconstruction: np.ndarray) -> float:
    """``sum |x - reconstruction|^2 / sum |x - mean|^2``: 0 is perfect, 1 is no better than the mean."""
    embeddings = np.asarray(embeddings, dtype=np.float64)
    total = ((embeddings - embeddings.mean(axis=0)) ** 2).sum()
    return float(((embeddings - reconstruction) ** 2).sum() / total) if total > 0 else 0.0
