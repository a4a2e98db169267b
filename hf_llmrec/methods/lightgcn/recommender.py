"""`LightGCNRecommender`: LightGCN with its catalogue."""

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
    """Ranks items by the dot product with a user's vector.

    The parameters are those of [`DenseRecommender`]; the model is a [`LightGCNModel`].
    """

    method = "lightgcn"
    model: LightGCNModel

    @classmethod
    def from_dataset(cls, dataset: RecDataset, *, include_users: bool = False, **fields: Any) -> LightGCNRecommender:
        """Create an untrained recommender, whose vectors are zeros.

        Args:
            dataset: its items are the catalogue; its users are used with ``include_users``.
            include_users: keep, save and publish the users' own vectors and their ids; otherwise users are described
                by their histories only.
            fields: of [`LightGCNConfig`]: ``embedding_size``, ``num_layers``.

        Returns:
            a recommender for [`LightGCNTrainer`], which replaces its model by the trained one.
        """
        sizes = {"num_items": dataset.num_items, "num_users": dataset.num_users if include_users else 0}
        users = {user: row for row, user in enumerate(dataset.user_ids)} if include_users else None
        with torch.random.fork_rng(devices=[]):  # the weights drawn here are not used
            model = LightGCNModel(LightGCNConfig(**{**sizes, **fields}))
        for table in model.parameters():
            table.data.zero_()
        return cls(model, ItemCatalog.of_dataset(dataset), user_rows=users)

    def item_vectors(self) -> np.ndarray:
        """Final embeddings of the items, float32 (num_items, embedding_size)."""
        return self.model.item_embeddings.detach().float().cpu().numpy()
