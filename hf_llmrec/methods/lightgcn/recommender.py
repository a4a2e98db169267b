"""LightGCN as a recommender."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...data.interactions import RecDataset
from ...data.recommender_folder import ItemCatalog
from ..dense_recommender import DenseRecommender
from .configuration_lightgcn import LightGCNConfig
from .modeling_lightgcn import LightGCNModel


class LightGCNRecommender(DenseRecommender):
    """`LightGCNModel` with its catalogue."""

    method = "lightgcn"

    @classmethod
    def from_dataset(cls, dataset: RecDataset, *, include_users: bool = False, **fields: Any) -> LightGCNRecommender:
        """A recommender to be trained; its vectors are zeros until it is.

        Args:
            dataset: gives the items, and the users where they are included.
            include_users: keep, save and publish users' own vectors and their ids; otherwise users are their histories.
            fields: of `LightGCNConfig`.

        Returns:
            a recommender whose model `LightGCNTrainer` makes.
        """
        sizes = {"num_items": dataset.num_items, "num_users": dataset.num_users if include_users else 0}
        users = {user: row for row, user in enumerate(dataset.user_ids)} if include_users else None
        with torch.random.fork_rng(devices=[]):  # what is drawn here is not used
            model = LightGCNModel(LightGCNConfig(**{**sizes, **fields}))
        for table in model.parameters():
            table.data.zero_()
        return cls(model, ItemCatalog.of_dataset(dataset), user_rows=users)

    def item_vectors(self) -> np.ndarray:
        """Final embeddings of the items, float32 (num_items, embedding_size)."""
        return self.model.item_embeddings.detach().float().cpu().numpy()
