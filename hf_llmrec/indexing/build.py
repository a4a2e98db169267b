"""`build_index`: quantises vectors, makes the codes unique and returns an `ItemIndex` with its report."""

from __future__ import annotations

import inspect
import logging
import os
import time
from collections.abc import Sequence

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ..data.files import staged
from ..data.fingerprints import DataFingerprint
from ..data.item_index import ItemIndex
from .assignment import Assignment, assign_unique, squared_distances
from .collaborative import check_collaborative
from .kmeans import residual_kmeans
from .quantization import Quantization
from .rqvae.training import train_rqvae_quantization

logger = logging.getLogger(__name__)

INDEXERS = {"kmeans": residual_kmeans, "rqvae": train_rqvae_quantization}


def indexer_options(indexer: str) -> tuple[str, ...]:
    """Names of the options of an indexer, except those that all indexers have.

    Args:
        indexer: a name in `INDEXERS`.
    """
    common = ("embeddings", "levels", "codebook_size", "collaborative", "seed")
    return tuple(name for name in inspect.signature(INDEXERS[indexer]).parameters if name not in common)


def default_codebook_size(num_items: int, levels: int) -> int:
    """Default number of codes per level: 256, as in the paper, for large catalogues, fewer for small ones.

    It is about a tenth of the number of items, so that a code occurs in several items and a language model can learn
    it.

    Args:
        num_items: number of items in the catalogue.
        levels: number of codes per item; the codes suffice for all items.
    """
    size = 8
    while size < 256 and size * 10 < num_items:
        size *= 2
    while size**levels < num_items:
        size *= 2
    return size


def neighbour_preservation(vectors: np.ndarray, codes: np.ndarray, neighbours: int = 10, sample: int = 2000) -> float:
    """The share of an item's nearest neighbours that have the same first code, averaged over items.

    Args:
        vectors: float (n, d).
        codes: int (n, levels).
        neighbours: number of nearest neighbours.
        sample: largest number of items to average over; they are drawn at random with a fixed seed.
    """
    count = len(vectors)
    if count < 2:
        return 1.0
    rows = np.random.default_rng(0).choice(count, min(sample, count), replace=False)
    k = min(neighbours + 1, count)
    nearest = NearestNeighbors(n_neighbors=k).fit(vectors).kneighbors(vectors[rows], return_distance=False)
    same = codes[nearest, 0] == codes[rows, 0][:, None]
    own = nearest == rows[:, None]
    return float((same & ~own).sum() / (~own).sum())


def quantize(
    embeddings: np.ndarray,
    *,
    indexer: str = "kmeans",
    levels: int = 4,
    codebook_size: int | None = None,
    collaborative: np.ndarray | None = None,
    seed: int = 0,
    **options,
) -> Quantization:
    """Quantise the vectors of a catalogue. The codes of different items may still be the same.

    Args:
        embeddings: float (n, d), one row per item.
        indexer: ``kmeans`` or ``rqvae``.
        levels: number of codes per item, at least 2.
        codebook_size: number of codes per level. Default: see `default_codebook_size`.
        collaborative: float (n, e), collaborative vectors that are indexed together with the embeddings; zeros for
            items without one.
        seed: seed of initialisation and order.
        options: options of the indexer, see `indexer_options`.

    Raises:
        ValueError: unknown indexer or option, wrong shapes, values that are not finite, or more items than codes.
    """
    if indexer not in INDEXERS:
        raise ValueError(f"--indexer must be one of {tuple(INDEXERS)}, got {indexer!r}")
    unknown = set(options) - set(indexer_options(indexer))
    if unknown:
        raise ValueError(f"unknown {sorted(unknown)}: the options of {indexer} are {indexer_options(indexer)}")
    vectors = np.asarray(embeddings, dtype=np.float32)
    if vectors.ndim != 2 or not vectors.size:
        raise ValueError(f"embeddings must be (items, d) with at least one item, got {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise ValueError("embeddings hold values that are not finite")
    if levels < 2:
        raise ValueError(f"--levels must be at least 2, got {levels}")
    size = codebook_size or default_codebook_size(len(vectors), levels)
    if size**levels < len(vectors):
        raise ValueError(f"{len(vectors)} items do not fit into {levels} levels of {size} codes")
    if collaborative is not None:
        collaborative = check_collaborative(collaborative, len(vectors))
    return INDEXERS[indexer](vectors, levels, size, collaborative=collaborative, seed=seed, **options)


def index_from_quantization(
    quantization: Quantization, item_ids: Sequence[str], embeddings: np.ndarray, metadata: dict | None = None
) -> ItemIndex:
    """Make the codes unique and add statistics of this step to the index.

    Args:
        quantization: quantisation of the items.
        item_ids: n ids.
        embeddings: float (n, d), for the statistic of the neighbours.
        metadata: JSON values for the index's metadata; the statistics are added to ``metadata["build"]`` of a copy.
    """
    assignment = assign_quantization(quantization)
    if assignment.spilled:
        logger.warning("%d items moved to another prefix: theirs had more items than codes", assignment.spilled)
    metadata = dict(metadata or {})
    metadata["build"] = {
        **metadata.get("build", {}),
        "collisions_before": assignment.collisions_before,
        "items_moved": assignment.moved / len(item_ids),
        "spilled": assignment.spilled,
        "codes_used_before": [int(len(np.unique(column))) for column in quantization.codes.T],
        "variance_unexplained": quantization.variance_unexplained,
        "neighbour_preservation": neighbour_preservation(np.asarray(embeddings, np.float32), assignment.codes),
    }
    sizes = tuple(len(book) for book in quantization.codebooks)
    return ItemIndex(list(item_ids), assignment.codes, sizes, quantization.codebooks, metadata)


def build_index(
    embeddings: np.ndarray,
    item_ids: Sequence[str],
    *,
    indexer: str = "kmeans",
    levels: int = 4,
    codebook_size: int | None = None,
    collaborative: np.ndarray | None = None,
    fitted_on: DataFingerprint | None = None,
    seed: int = 0,
    model_dir: str | os.PathLike | None = None,
    **options,
) -> ItemIndex:
    """Index a catalogue (arXiv 2311.09049, section 3.2): every item gets a unique sequence of ``levels`` codes.

    Args:
        embeddings: float (n, d), one row per item.
        item_ids: n ids.
        indexer: ``kmeans`` (residual k-means) or ``rqvae`` (the paper's RQ-VAE, which is trained here).
        levels: number of codes per item, at least 2.
        codebook_size: number of codes per level. Default: see `default_codebook_size`.
        collaborative: float (n, e), vectors of the items from a collaborative model, which are indexed together with
            the embeddings; zeros for items without one.
        fitted_on: fingerprint of the data that ``collaborative`` (or ``embeddings``, if they are not of texts) was
            fitted on, see `RecDataset.data_fingerprint`. It is stored in the index, and training with the index
            refuses other interactions and splits.
        seed: seed of initialisation and order.
        model_dir: folder to save the trained `RQVAEModel` in, with ``rqvae``; ``None``: it is not saved.
        options: options of the indexer, see `residual_kmeans` and `train_rqvae`.

    Returns:
        The index. Its ``metadata["build"]`` contains ``collisions_before``, ``items_moved`` (share), ``spilled``,
        ``variance_unexplained`` (before the assignment), ``neighbour_preservation`` and ``seconds``; with collaborative
        vectors also ``collaborative_neighbour_preservation``.

    Raises:
        ValueError: unknown indexer or option, wrong shapes, values that are not finite, or more items than codes.
    """
    if np.shape(embeddings)[:1] != (len(item_ids),):
        raise ValueError(f"embeddings must be ({len(item_ids)} items, d), got {np.shape(embeddings)}")
    began = time.perf_counter()
    quantization = quantize(
        embeddings,
        indexer=indexer,
        levels=levels,
        codebook_size=codebook_size,
        collaborative=collaborative,
        seed=seed,
        **options,
    )
    metadata = {"seed": seed, "dim": int(np.shape(embeddings)[1]), "build": {"indexer": indexer}}
    index = index_from_quantization(quantization, item_ids, embeddings, metadata)
    if collaborative is not None:
        has_vector = np.asarray(collaborative).any(axis=1)
        index.metadata["build"]["collaborative_neighbour_preservation"] = neighbour_preservation(
            np.asarray(collaborative, np.float32)[has_vector], index.codes[has_vector]
        )
    if fitted_on is not None:
        index.metadata["fitted_on"] = fitted_on.to_dict()
    index.metadata["build"]["seconds"] = round(time.perf_counter() - began, 1)
    if model_dir is not None and quantization.model is not None:
        with staged(model_dir) as folder:
            quantization.model.save_pretrained(folder)
    return index


def assign_quantization(quantization: Quantization) -> Assignment:
    """Make the codes of a quantisation unique, with distances in its space.

    A prefix represents the sum of its codewords.

    Args:
        quantization: codes, codebooks and the quantised vectors.
    """
    books, inputs = quantization.codebooks, quantization.inputs

    def prefix_vectors(prefixes: np.ndarray) -> np.ndarray:
        vectors = np.zeros((len(prefixes), inputs.shape[1]), dtype=books[0].dtype)
        for level in range(len(books) - 1):
            vectors = vectors + books[level][prefixes[:, level]]
        return vectors

    def last_distances(rows: np.ndarray, prefix: np.ndarray) -> np.ndarray:
        return squared_distances(inputs[rows] - prefix_vectors(prefix[None]), books[-1])

    return assign_unique(quantization.codes, last_distances, prefix_vectors, inputs, len(books[-1]))
