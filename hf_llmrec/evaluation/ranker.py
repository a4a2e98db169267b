"""The one interface that every recommender has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np


class Ranker(ABC):
    """Ranks the catalogue for a batch of histories.

    Attributes:
        item_ids: the catalogue, in the row order that `rank` speaks of.
        max_history: how many of the latest items of a history the model reads (``None``: all).
    """

    item_ids: list[str]
    max_history: int | None = None

    @abstractmethod
    def rank(
        self,
        histories: Sequence[np.ndarray],
        k: int,
        *,
        user_ids: Sequence[str] | None = None,
        exclude: Sequence[np.ndarray] | None = None,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Best ``k`` items for each history.

        Args:
            histories: n int arrays of item rows, oldest first; may be empty arrays.
            k: how many items to return, at least 1.
            user_ids: n ids, for models that know users. Others ignore them.
            exclude: n int arrays of item rows that must not be returned.
            allowed: int array of the only item rows that may be returned, for all histories; empty: none.

        Returns:
            ``item_rows`` int64 (n, k), best first, padded with -1 where fewer items qualify; ``scores`` float (n, k),
            higher is better, -inf at padding. Equal scores keep the item order.
        """


def rank_dense_scores(
    scores: np.ndarray,
    k: int,
    *,
    exclude: Sequence[np.ndarray] | None = None,
    allowed: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Top ``k`` of dense scores (n, num_items), ties by item order, for models that score the whole catalogue.

    ``scores`` is changed in place. See `Ranker.rank` for the other arguments and the result.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    num_items = scores.shape[1]
    if allowed is not None:
        barred = np.ones(num_items, dtype=bool)
        barred[np.asarray(allowed, dtype=np.int64)] = False
        scores[:, barred] = -np.inf
    if exclude is not None:
        for row, items in enumerate(exclude):
            scores[row, np.asarray(items, dtype=np.int64)] = -np.inf
    width = min(k, num_items)
    # A stable sort is what makes equal scores keep the item order; argpartition would not.
    order = np.argsort(-scores, axis=1, kind="stable")[:, :width]
    best = np.take_along_axis(scores, order, axis=1)
    rows = np.full((scores.shape[0], k), -1, dtype=np.int64)
    values = np.full((scores.shape[0], k), -np.inf, dtype=scores.dtype)
    rows[:, :width] = np.where(np.isneginf(best), -1, order)
    values[:, :width] = best
    return rows, values
