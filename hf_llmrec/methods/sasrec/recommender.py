"""SASRec as a recommender."""

from __future__ import annotations

import numpy as np

from ..dense_recommender import DenseRecommender


class SASRecRecommender(DenseRecommender):
    """`SASRecModel` with its catalogue."""

    method = "sasrec"

    def item_vectors(self) -> np.ndarray:
        """The vectors that histories are scored against, float32 (num_items, hidden_size)."""
        return self.model.item_vectors().detach().float().cpu().numpy()
