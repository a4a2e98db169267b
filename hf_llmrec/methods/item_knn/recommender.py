"""Item-based nearest neighbours as a recommender."""

from __future__ import annotations

import numpy as np

from ...data.interactions import RecDataset
from ...data.recommender_folder import ItemCatalog
from ...data.splits import RecSplit
from ..dense_recommender import DenseRecommender
from .fit import fit_item_knn


class ItemKNNRecommender(DenseRecommender):
    """`ItemKNNModel` with its catalogue."""

    method = "knn"

    @classmethod
    def fit(cls, dataset: RecDataset, split: RecSplit, **options) -> ItemKNNRecommender:
        """Count the training interactions of ``split``.

        Args:
            dataset: the split's.
            split: validation and test interactions are not looked at.
            options: ``num_neighbors``, ``decay``, ``shrinkage`` of `fit_item_knn`.
        """
        made = cls(fit_item_knn(split, dataset.num_items, **options), ItemCatalog.of_dataset(dataset))
        made.trained_on(dataset, split)
        return made

    def _similarities(self, rows: np.ndarray) -> np.ndarray:
        """Those of co-occurrence; items that are no neighbours have none."""
        scores = np.full((len(rows), len(self.item_ids) + 1), -np.inf)
        neighbors = self.model.neighbors[rows].cpu().numpy()
        values = self.model.similarities[rows].detach().float().cpu().numpy()
        np.put_along_axis(scores, neighbors, values, axis=1)
        return scores[:, :-1]  # the last column takes the padding
