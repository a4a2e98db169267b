"""ItemKNN (Sarwar et al., 2001) as a transformers model, which is saved, loaded and served like any other."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel, initialization

from .configuration_item_knn import ItemKNNConfig


class ItemKNNModel(PreTrainedModel):
    """Scores items by their similarity to the items of the history; later items weigh more.

    Items that are no neighbour of the history's items are ranked by popularity, after all others.

    Args:
        config: an [`ItemKNNConfig`].

    Attributes:
        neighbors: int64 (num_items + 1, num_neighbors), item rows of each item's neighbours, ``num_items`` where there
            is none; the last row belongs to padding.
        similarities: float (num_items + 1, num_neighbors), 0 where there is no neighbour.
        popularity: float (num_items,), far below any similarity.
    """

    config_class = ItemKNNConfig
    base_model_prefix = "item_knn"
    main_input_name = "input_ids"
    neighbors: torch.Tensor

    def __init__(self, config: ItemKNNConfig):
        super().__init__(config)
        shape = (config.num_items + 1, config.num_neighbors)
        self.register_buffer("neighbors", torch.full(shape, config.num_items))
        self.similarities = nn.Parameter(torch.zeros(shape), requires_grad=False)
        self.popularity = nn.Parameter(torch.zeros(config.num_items), requires_grad=False)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, ItemKNNModel):
            initialization.constant_(module.neighbors, self.config.num_items)
            initialization.zeros_(module.similarities)
            initialization.zeros_(module.popularity)

    def score_histories(self, input_ids: torch.Tensor, user_rows: torch.Tensor | None = None) -> torch.Tensor:
        """Scores of all items after each history.

        Args:
            input_ids: int64 (batch, length), item rows, oldest first, padded on the right with ``num_items``.
            user_rows: not used.

        Returns:
            float (batch, num_items).
        """
        batch, length = input_ids.shape
        count = (input_ids != self.config.num_items).sum(1, keepdim=True)
        age = (count - 1 - torch.arange(length, device=input_ids.device)).clamp_min(0)
        # 0 ** 0 is 1: with decay 0 only the last item counts.
        weight = torch.tensor(float(self.config.decay), device=input_ids.device) ** age
        values = self.similarities[input_ids] * weight.unsqueeze(-1)
        scores = torch.zeros(batch, self.config.num_items + 1, device=input_ids.device)
        scores.scatter_add_(1, self.neighbors[input_ids].view(batch, -1), values.view(batch, -1))
        return scores[:, :-1] + self.popularity

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Same as `score_histories`."""
        return self.score_histories(input_ids)


ItemKNNConfig.register_for_auto_class()
ItemKNNModel.register_for_auto_class("AutoModel")

__all__ = ["ItemKNNModel"]
