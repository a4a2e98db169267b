"""Rankers without learned parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..evaluation.ranker import Ranker, rank_dense_scores


class PopularityRanker(Ranker):
    """Ranks every item by how often it occurs in the training interactions, the same list for everyone."""

    def __init__(self, item_ids: Sequence[str], counts: np.ndarray):
        self.item_ids = list(item_ids)
        self.counts = np.asarray(counts, dtype=np.float64)
        if self.counts.shape != (len(self.item_ids),):
            raise ValueError(f"counts must be ({len(self.item_ids)},), got {self.counts.shape}")

    @classmethod
    def fit(cls, dataset: RecDataset, split: RecSplit) -> PopularityRanker:
        """Count the training interactions of ``split``; validation and test interactions are not looked at."""
        return cls(dataset.item_ids, np.bincount(split.train_indices, minlength=dataset.num_items))

    def rank(self, histories, k, *, user_ids=None, exclude=None, allowed=None):
        scores = np.repeat(self.counts[None, :], len(histories), axis=0)
        return rank_dense_scores(scores, k, exclude=exclude, allowed=allowed)
