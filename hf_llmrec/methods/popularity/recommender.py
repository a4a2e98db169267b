"""Popularity as a recommender."""

from __future__ import annotations

from ...data.interactions import RecDataset
from ...data.recommender_folder import ItemCatalog
from ...data.splits import RecSplit
from ..dense_recommender import DenseRecommender
from .fit import fit_popularity


class PopularityRecommender(DenseRecommender):
    """Ranks every item by how often it occurs in the training interactions, the same list for everyone."""

    method = "popularity"
    supports_similar_items = False

    @classmethod
    def fit(cls, dataset: RecDataset, split: RecSplit) -> PopularityRecommender:
        """Count the training interactions of ``split``.

        Args:
            dataset: the split's.
            split: validation and test interactions are not looked at.
        """
        made = cls(fit_popularity(split, dataset.num_items), ItemCatalog.of_dataset(dataset))
        made.trained_on(dataset, split)
        return made
