"""Codes for items that join an index later: free ones, near their text, without training anything anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def refit_codewords(codes: np.ndarray, codebook_sizes: Sequence[int], vectors: np.ndarray) -> list[np.ndarray]:
    """What codes mean in the space of ``vectors``: per level the mean of what earlier levels leave of their items.

    An index may have been built in another space (an RQ-VAE's latent one, texts joined with a collaborative model's
    vectors) or come without codewords; this needs neither.

    Args:
        codes: int (n, levels). vectors: float (n, d), of the same items.

    Returns:
        per level float64 (size, d), zeros for codes that no item has.
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
    """Free codes for new items: the prefix of the items that are nearest, and the free last code that fits best.

    Last codes that some item has come first: a language model has learned nothing about the others. New items are
    placed one after the other, so that the result depends on nothing but the arguments.

    Args:
        codes: int (n, levels), n > 0, of the items that are there. vectors: float (n, d), of the same items.
        new_vectors: float (m, d), in the same space.

    Returns:
        int32 (m, levels), different from each other and from all of ``codes``.

    Raises:
        ValueError: no prefix that is in use has a free last code.
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
    rooms = free.sum(axis=1)
    known = np.bincount(codes[:, -1], minlength=codebook_sizes[-1]) > 0
    placed = np.empty((len(new_vectors), codes.shape[1]), dtype=np.int32)
    for row, vector in enumerate(new_vectors):
        room = np.flatnonzero(rooms)
        if not len(room):
            raise ValueError(f"there is no free code for new item {row}: every prefix in use is full")
        chosen = room[((centers[room] - vector) ** 2).sum(axis=1).argmin()]
        rest = vector - sum(book[code] for book, code in zip(books[:-1], prefixes[chosen], strict=True))
        candidates = np.flatnonzero(free[chosen] & known)
        if not len(candidates):
            candidates = np.flatnonzero(free[chosen])
        last = candidates[((books[-1][candidates] - rest) ** 2).sum(axis=1).argmin()]
        free[chosen, last] = False
        rooms[chosen] -= 1
        placed[row] = [*prefixes[chosen], last]
    return placed
