"""LightGCN's vectors after the convolutions, which are enough to recommend without the graph."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel, initialization

from .configuration_lightgcn import LightGCNConfig


class LightGCNModel(PreTrainedModel):
    """Scores items by the dot product with a user's vector (arXiv 2002.02126, section 3.1.2).

    Users of the model have a vector of their own. Any other user gets the vector that the convolutions would give to a
    new node without an embedding that is connected to the items of its history: the sum of their
    ``fold_in_embeddings`` divided by the square root of their number, which depends on the history only.

    Args:
        config: a [`LightGCNConfig`].

    Attributes:
        item_embeddings: float (num_items, embedding_size), mean over all layers.
        fold_in_embeddings: float (num_items + 1, embedding_size), what an item adds to a user's vector; 0 for padding.
        user_embeddings: float (num_users, embedding_size), mean over all layers.
    """

    config_class = LightGCNConfig
    base_model_prefix = "lightgcn"
    main_input_name = "input_ids"

    def __init__(self, config: LightGCNConfig):
        super().__init__(config)
        width = config.embedding_size
        self.item_embeddings = nn.Parameter(torch.zeros(config.num_items, width))
        self.fold_in_embeddings = nn.Parameter(torch.zeros(config.num_items + 1, width))
        self.user_embeddings = nn.Parameter(torch.zeros(config.num_users, width))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, LightGCNModel):
            for table in (module.item_embeddings, module.fold_in_embeddings, module.user_embeddings):
                initialization.normal_(table, std=0.1)

    def user_vectors(self, input_ids: torch.Tensor, user_rows: torch.Tensor | None = None) -> torch.Tensor:
        """Vectors of users.

        Args:
            input_ids: int64 (batch, length), item rows, padded on the right with ``num_items``; their order is not
                used.
            user_rows: int64 (batch,), rows of ``user_embeddings``, -1 for users without one; ``None``: all vectors
                follow from the histories.

        Returns:
            float (batch, embedding_size).
        """
        counts = (input_ids != self.config.num_items).sum(1, keepdim=True).clamp_min(1)
        folded = self.fold_in_embeddings[input_ids].masked_fill((input_ids == self.config.num_items).unsqueeze(-1), 0)
        vectors = folded.sum(1) / counts.sqrt()
        if user_rows is None or not self.config.num_users:
            return vectors
        has_vector = user_rows >= 0
        return torch.where(has_vector.unsqueeze(1), self.user_embeddings[user_rows.clamp_min(0)], vectors)

    def score_histories(self, input_ids: torch.Tensor, user_rows: torch.Tensor | None = None) -> torch.Tensor:
        """Scores of all items for each user.

        Args:
            input_ids: int64 (batch, length), item rows, padded on the right with ``num_items``; their order is not
                used.
            user_rows: int64 (batch,), rows of ``user_embeddings``, -1 for users without one; ``None``: all vectors
                follow from the histories.

        Returns:
            float (batch, num_items).
        """
        return self.user_vectors(input_ids, user_rows) @ self.item_embeddings.T

    def forward(self, input_ids: torch.Tensor, user_rows: torch.Tensor | None = None) -> torch.Tensor:
        """Same as `score_histories`."""
        return self.score_histories(input_ids, user_rows)


LightGCNConfig.register_for_auto_class()
LightGCNModel.register_for_auto_class("AutoModel")

__all__ = ["LightGCNModel"]
