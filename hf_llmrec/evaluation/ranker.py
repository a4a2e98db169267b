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
        fallback: why rankings so far were made in a slower way than the model's own; ``None``: they were not.
    """

    item_ids: list[str]
    max_history: int | None = None
    fallback: str | None = None

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
