"""Rankers without learned parameters."""

from __future__ import annotations

from ...data.interactions import RecDataset
from ...data.splits import RecSplit
from ..dense_recommender import DenseRanker
from .fit import fit_popularity


class PopularityRanker(DenseRanker):
    """Ranks every item by how often it occurs in the training interactions, the same list for everyone."""

    @classmethod
    def fit(cls, dataset: RecDataset, split: RecSplit) -> PopularityRanker:
        """Count the training interactions of ``split``; validation and test interactions are not looked at."""
        return cls(fit_popularity(split, dataset.num_items), dataset.item_ids)
