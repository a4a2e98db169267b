"""Makes the codes of a given index unique, changing as few items as possible."""

from __future__ import annotations

import numpy as np

from ..data.index_edits import refit_codewords
from ..data.item_index import ItemIndex

RESOLUTIONS = ("last_code", "level")


def repeated_rows(codes: np.ndarray) -> np.ndarray:
    """Rows whose codes an earlier row has, too.

    Args:
        codes: int (n, levels).

    Returns:
        int64 (m,), in increasing order.
    """
    _, first, inverse = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    return np.flatnonzero(first[inverse.ravel()] != np.arange(len(codes)))


def resolve_collisions(index: ItemIndex, vectors: np.ndarray, method: str = "last_code") -> ItemIndex:
    """An index without collisions. Of items that share their codes, the first one keeps them.

    Args:
        index: the index, whose codes may collide.
        vectors: float (num_items, d), text embeddings of the items in row order; used by ``last_code``.
        method: ``last_code``: each further item gets the free last code, of the same prefix, whose items are nearest;
            codes that some item has are preferred. ``level``: all items get a further code that numbers those with the
            same codes, as TIGER does (arXiv 2305.05065).

    Raises:
        ValueError: an unknown method, or with ``last_code`` a prefix whose last codes are all taken.
    """
    if method not in RESOLUTIONS:
        raise ValueError(f"unknown method {method!r} of resolving collisions: {' or '.join(RESOLUTIONS)}")
    moved = repeated_rows(index.codes)
    metadata = {**index.metadata, "collisions_resolved": method if len(moved) else None, "items_moved": len(moved)}
    sizes = index.codebook_sizes
    if not len(moved):
        return ItemIndex(index.item_ids, index.codes, sizes, index.codebooks, metadata)
    if method == "level":
        _, inverse = np.unique(index.codes, axis=0, return_inverse=True)
        numbers = _number_within(inverse.ravel())
        codes = np.concatenate([index.codes, numbers[:, None]], axis=1)
        return ItemIndex(index.item_ids, codes, (*sizes, int(numbers.max()) + 1), None, metadata)
    codes = index.codes.copy()
    vectors = np.asarray(vectors, dtype=np.float64)
    books = refit_codewords(codes, sizes, vectors)
    in_use = np.bincount(codes[:, -1], minlength=sizes[-1]) > 0
    for row in moved:
        prefix = codes[row, :-1]
        is_free = np.ones(sizes[-1], dtype=bool)
        is_free[codes[(codes[:, :-1] == prefix).all(axis=1), -1]] = False
        candidates = np.flatnonzero(is_free & in_use)
        if not len(candidates):
            candidates = np.flatnonzero(is_free)
        if not len(candidates):
            shared = " ".join(index.item_tokens(row)[:-1])
            raise ValueError(
                f"item {index.item_ids[row]!r}: all {sizes[-1]} last codes after {shared} are taken; a further level "
                "always resolves collisions"
            )
        residual = vectors[row] - sum(book[code] for book, code in zip(books[:-1], prefix, strict=True))
        codes[row, -1] = candidates[((books[-1][candidates] - residual) ** 2).sum(axis=1).argmin()]
    return ItemIndex(index.item_ids, codes, sizes, index.codebooks, metadata)


def _number_within(groups: np.ndarray) -> np.ndarray:
    """int64 (n,), how many earlier rows are of the same group, int (n,)."""
    order = np.argsort(groups, kind="stable")
    starts = np.concatenate([[0], np.flatnonzero(np.diff(groups[order])) + 1])
    lengths = np.diff(np.concatenate([starts, [len(groups)]]))
    numbers = np.empty(len(groups), dtype=np.int64)
    numbers[order] = np.arange(len(groups)) - np.repeat(starts, lengths)
    return numbers
