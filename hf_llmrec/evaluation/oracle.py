"""The demo shop's own next-item distribution as a ranker: what no model can beat by much."""

from __future__ import annotations

import numpy as np

from ..data.demo import DemoShop
from .ranker import Ranker
from .top_k import rank_dense_scores


class OracleRanker(Ranker):
    """Ranks by the demo generator's true next-item distribution, given history and the user's true community."""

    def __init__(self, shop: DemoShop):
        self.shop = shop
        self.item_ids = shop.dataset.item_ids

    def rank(self, histories, k, *, user_ids=None, times=None, exclude=None, allowed=None):
        if user_ids is None:
            raise ValueError("the oracle needs user_ids: it knows each user's community")
        rows = np.array([self.shop.dataset.user_row[user] for user in user_ids])
        scores = self.shop.next_item_probabilities(histories, user_rows=rows)
        return rank_dense_scores(scores, k, exclude=exclude, allowed=allowed)
