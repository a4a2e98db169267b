"""Vectors of users after their training histories, which are exported for other methods."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.splits import RecSplit


class HistoryVectorsMixin:
    """Mixin of trainers whose recommender encodes histories."""

    recommender: Any
    split: RecSplit | None

    def user_vectors(self) -> np.ndarray:
        """Vectors of the users of ``split`` after their training histories.

        Returns:
            float32 (num_users, d).

        Raises:
            ValueError: the trainer was made without a split.
        """
        if self.split is None:
            raise ValueError("there are no users: the trainer was made without split=")
        users = range(len(self.split.train_indptr) - 1)
        return self.recommender.user_vectors([self.split.train_sequence(user) for user in users])
