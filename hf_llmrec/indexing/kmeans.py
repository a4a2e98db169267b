"""Residual k-means: each level clusters what the levels before it left over."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from .collaborative import whitened_concatenation
from .quantization import Quantization, variance_unexplained


def residual_kmeans(
    embeddings: np.ndarray,
    levels: int,
    codebook_size: int,
    *,
    collaborative: np.ndarray | None = None,
    seed: int = 0,
    iterations: int = 50,
    collaborative_weight: float = 0.5,
    whitened_dimensions: int = 64,
) -> Quantization:
    """Quantise by k-means on all items, level after level.

    Args:
        embeddings: float (n, dim).
        levels: codes per item.
        codebook_size: codes per level. With fewer distinct vectors than codes, the codes left over repeat the last
            cluster's place, so that a codebook always has its full size.
        collaborative: float (n, e), quantised together with the embeddings, see `whitened_concatenation`.
        seed: fixes the initialisation.
        iterations: of Lloyd's algorithm, at most, per level.
        collaborative_weight, whitened_dimensions: of the concatenation.

    Returns:
        a `Quantization` in the space of the centred embeddings, or of the concatenation: the codewords of an item sum
        up to it.
    """
    inputs = np.asarray(embeddings, dtype=np.float32)
    if collaborative is not None:
        inputs = whitened_concatenation(
            inputs, collaborative, weight=collaborative_weight, dimensions=whitened_dimensions
        )
    inputs = inputs - inputs.mean(axis=0)
    residuals = inputs.copy()
    codes, books = [], []
    for level in range(levels):
        clusters = min(codebook_size, len(np.unique(residuals, axis=0)))
        # One thread gives the same sums in the same order, whatever the machine.
        with threadpool_limits(limits=1):
            kmeans = KMeans(clusters, n_init=1, max_iter=iterations, random_state=seed + level).fit(residuals)
        book = np.asarray(kmeans.cluster_centers_, dtype=np.float32)
        if clusters < codebook_size:
            book = np.concatenate([book, np.repeat(book[-1:], codebook_size - clusters, axis=0)])
        label = kmeans.labels_.astype(np.int32)
        codes.append(label)
        books.append(book)
        residuals = residuals - book[label]
    return Quantization(np.stack(codes, axis=1), books, inputs, variance_unexplained(inputs, inputs - residuals))
