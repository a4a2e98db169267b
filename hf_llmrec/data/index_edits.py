"""Assigns codes to items that are added to an index later, by their texts and without training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def refit_codewords(codes: np.ndarray, codebook_sizes: Sequence[int], vectors: np.ndarray) -> list[np.ndarray]:
    """Estimate codewords in the space of ``vectors``: per level, the mean residual of the items with each code.

    This works without the codewords of the index, which may be missing or belong to another space (the latent space of
    an RQ-VAE, or texts joined with the vectors of a collaborative model).

    Args:
        codes: int (n, levels), codes of the items.
        codebook_sizes: number of codes per level.
        vectors: float (n, d), vectors of the same items.

    Returns:
        per level float64 (size, d); zeros for codes that no item has.
    """
    residuals, books = np.array(vectors, dtype=np.float64), []
    for column, size in zip(codes.T, codebook_sizes, strict=True):
        sums = np.zeros((size, residuals.shape[1]))
        np.add.at(sums, column, residuals)
        book = sums / np.maximum(np.bincount(column, minlength=size), 1)[:, None]
        residuals = residuals - book[column]
        books.append(book)
    return books


def place_items(
    codes: np.ndarray, codebook_sizes: Sequence[int], vectors: np.ndarray, new_vectors: np.ndarray
) -> np.ndarray:
    """Assign free codes to new items: the prefix whose items are nearest, and the free last code that fits best.

    Last codes that some item already has are preferred, because a language model has learned nothing about the others.
    New items are placed one after the other, so that the codes depend on nothing but the arguments.

    Args:
        codes: int (n, levels), n > 0, codes of the items in the index.
        codebook_sizes: number of codes per level.
        vectors: float (n, d), vectors of the items in the index.
        new_vectors: float (m, d), vectors of the new items, in the same space.

    Returns:
        int32 (m, levels), different from each other and from all of ``codes``.

    Raises:
        ValueError: no prefix in use has a free last code.
    """
    codes = np.asarray(codes)
    vectors, new_vectors = (np.asarray(part, dtype=np.float64) for part in (vectors, new_vectors))
    books = refit_codewords(codes, codebook_sizes, vectors)
    prefixes, group = np.unique(codes[:, :-1], axis=0, return_inverse=True)
    group = group.ravel()
    centers = np.zeros((len(prefixes), vectors.shape[1]))
    np.add.at(centers, group, vectors)
    centers /= np.bincount(group)[:, None]
    free = np.ones((len(prefixes), codebook_sizes[-1]), dtype=bool)
    free[group, codes[:, -1]] = False
    num_free = free.sum(axis=1)
    in_use = np.bincount(codes[:, -1], minlength=codebook_sizes[-1]) > 0
    placed = np.empty((len(new_vectors), codes.shape[1]), dtype=np.int32)
    for row, vector in enumerate(new_vectors):
        open_prefixes = np.flatnonzero(num_free)
        if not len(open_prefixes):
            raise ValueError(f"there is no free code for new item {row}: every prefix in use is full")
        chosen = open_prefixes[((centers[open_prefixes] - vector) ** 2).sum(axis=1).argmin()]
        residual = vector - sum(book[code] for book, code in zip(books[:-1], prefixes[chosen], strict=True))
        candidates = np.flatnonzero(free[chosen] & in_use)
        if not len(candidates):
            candidates = np.flatnonzero(free[chosen])
        last = candidates[((books[-1][candidates] - residual) ** 2).sum(axis=1).argmin()]
        free[chosen, last] = False
        num_free[chosen] -= 1
        placed[row] = [*prefixes[chosen], last]
    return placed
