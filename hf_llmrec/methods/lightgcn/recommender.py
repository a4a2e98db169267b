"""LightGCN as a recommender."""

from __future__ import annotations

import numpy as np

from ..dense_recommender import DenseRecommender


class LightGCNRecommender(DenseRecommender):
    """`LightGCNModel` with its catalogue."""

    method = "lightgcn"

    def item_vectors(self) -> np.ndarray:
        """Final embeddings of the items, float32 (num_items, embedding_size)."""
        return self.model.item_embeddings.detach().float().cpu().numpy()
