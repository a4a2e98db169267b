"""`build_index`: vectors -> quantisation -> collision-free codes -> `ItemIndex` with its report."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ..data.item_index import ItemIndex
from .assignment import assign_unique, squared_distances
from .kmeans import Quantization, residual_kmeans

logger = logging.getLogger(__name__)

INDEXERS = ("kmeans",)


def default_codebook_size(num_items: int, levels: int) -> int:
    """Codes per level: 256 (the paper's) for large catalogues, fewer for small ones.

    About a tenth of the items, so that a code stands for several items and a language model can learn it.
    """
    size = 8
    while size < 256 and size * 10 < num_items:
        size *= 2
    while size**levels < num_items:
        size *= 2
    return size


def variance_unexplained(inputs: np.ndarray, reconstruction: np.ndarray) -> float:
    """``sum |x - reconstruction|^2 / sum |x - mean|^2``: 0 is perfect, 1 is no better than the mean."""
    inputs = np.asarray(inputs, dtype=np.float64)
    total = ((inputs - inputs.mean(axis=0)) ** 2).sum()
    return float(((inputs - reconstruction) ** 2).sum() / total) if total > 0 else 0.0


def neighbour_preservation(vectors: np.ndarray, codes: np.ndarray, neighbours: int = 10, sample: int = 2000) -> float:
    """How much more often near items share their first code: share among nearest neighbours, mean over items.

    Args:
        vectors: float (n, d). codes: int (n, levels).
        neighbours: how many nearest items count. sample: items that are looked at, at most.
    """
    count = len(vectors)
    if count < 2:
        return 1.0
    rows = np.random.default_rng(0).choice(count, min(sample, count), replace=False)
    k = min(neighbours + 1, count)
    found = NearestNeighbors(n_neighbors=k).fit(vectors).kneighbors(vectors[rows], return_distance=False)
    same = codes[found, 0] == codes[rows, 0][:, None]
    own = found == rows[:, None]
    return float((same & ~own).sum() / (~own).sum())


def build_index(
    embeddings: np.ndarray,
    item_ids: Sequence[str],
    *,
    indexer: str = "kmeans",
    levels: int = 4,
    codebook_size: int | None = None,
    seed: int = 0,
    **options,
) -> ItemIndex:
    """Index a catalogue (arXiv 2311.09049, section 3.2): every item gets ``levels`` codes, no two items the same.

    Args:
        embeddings: float (n, d), one row per item. item_ids: n ids.
        indexer: ``kmeans`` (residual k-means).
        codebook_size: codes per level; default from the number of items.
        seed: fixes initialisation and order.
        options: of the indexer, see `residual_kmeans`.

    Returns:
        an `ItemIndex` whose ``metadata["build"]`` holds: ``collisions_before``, ``items_moved`` (share), ``spilled``,
        ``variance_unexplained`` (before the assignment), ``neighbour_preservation``, ``seconds``.

    Raises:
        ValueError: unknown indexer, wrong shapes, values that are not finite, or a catalogue that does not fit.
    """
    if indexer not in INDEXERS:
        raise ValueError(f"--indexer must be one of {INDEXERS}, got {indexer!r}")
    vectors = np.asarray(embeddings, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(item_ids) or not len(vectors):
        raise ValueError(f"embeddings must be ({len(item_ids)} items, d) with at least one item, got {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise ValueError("embeddings hold values that are not finite")
    if levels < 2:
        raise ValueError(f"--levels must be at least 2, got {levels}")
    size = codebook_size or default_codebook_size(len(vectors), levels)
    if size**levels < len(vectors):
        raise ValueError(f"{len(vectors)} items do not fit into {levels} levels of {size} codes")
    began = time.perf_counter()
    quantization = residual_kmeans(vectors, levels, size, seed=seed, **options)
    unexplained = variance_unexplained(quantization.inputs, quantization.reconstruction())
    assignment = assign_quantization(quantization)
    build = {
        "indexer": indexer,
        "collisions_before": assignment.collisions_before,
        "items_moved": assignment.moved / len(vectors),
        "spilled": assignment.spilled,
        "codes_used_before": [int(len(np.unique(column))) for column in quantization.codes.T],
        "variance_unexplained": unexplained,
        "neighbour_preservation": neighbour_preservation(vectors, assignment.codes),
        "seconds": round(time.perf_counter() - began, 1),
    }
    if assignment.spilled:
        logger.warning("%d items moved to another prefix: theirs had more items than codes", assignment.spilled)
    metadata = {"seed": seed, "dim": int(vectors.shape[1]), "build": build}
    return ItemIndex(list(item_ids), assignment.codes, (size,) * levels, quantization.codebooks, metadata)


def assign_quantization(quantization: Quantization):
    """`assign_unique` in the space of a quantisation, where a prefix stands for the sum of its codewords."""
    books, inputs = quantization.codebooks, quantization.inputs

    def prefix_vectors(prefixes: np.ndarray) -> np.ndarray:
        return sum(books[level][prefixes[:, level]] for level in range(len(books) - 1))

    def last_distances(rows: np.ndarray, prefix: np.ndarray) -> np.ndarray:
        return squared_distances(inputs[rows] - prefix_vectors(prefix[None]), books[-1])

    return assign_unique(quantization.codes, last_distances, prefix_vectors, inputs, len(books[-1]))
