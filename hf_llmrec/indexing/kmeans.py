"""Residual k-means: each level clusters the residuals of the levels before it."""

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
    """Quantise by k-means on all items, one level after the other.

    Args:
        embeddings: float (n, dim).
        levels: number of codes per item.
        codebook_size: number of codes per level. With fewer distinct vectors than codes, the remaining codes repeat the
            last cluster's center, so that a codebook always has its full size.
        collaborative: float (n, e), vectors that are quantised together with the embeddings, see
            `whitened_concatenation`; ``None``: the embeddings alone.
        seed: seed of the initialisation.
        iterations: largest number of iterations of Lloyd's algorithm per level.
        collaborative_weight: share of the collaborative vectors in the total variance, 0 to 1.
        whitened_dimensions: largest number of principal components of each kind of vectors in the concatenation.

    Returns:
        The quantisation, in the space of the centred embeddings or of the centred concatenation: the codewords of an
        item add up to an approximation of its vector.
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
            kmeans = KMeans(
                clusters,
                n_init=1,  # pyright: ignore[reportArgumentType]  # scikit-learn takes int | "auto"; the stub infers str
                max_iter=iterations,
                random_state=seed + level,
            ).fit(residuals)
        book = np.asarray(kmeans.cluster_centers_, dtype=np.float32)
        if clusters < codebook_size:
            book = np.concatenate([book, np.repeat(book[-1:], codebook_size - clusters, axis=0)])
        label = np.asarray(kmeans.labels_, dtype=np.int32)
        codes.append(label)
        books.append(book)
        residuals = residuals - book[label]
    return Quantization(np.stack(codes, axis=1), books, inputs, variance_unexplained(inputs, inputs - residuals))
