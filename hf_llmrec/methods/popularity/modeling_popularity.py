"""The popularity baseline as a transformers model, which is saved, loaded and served like any other."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel, initialization

from .configuration_popularity import PopularityConfig


class PopularityModel(PreTrainedModel):
    """Scores every item by its number of training interactions, independently of the history.

    Args:
        config: a [`PopularityConfig`].

    Attributes:
        item_counts: float (num_items,), the number of training interactions of each item.
    """

    config_class = PopularityConfig
    base_model_prefix = "popularity"
    main_input_name = "input_ids"

    def __init__(self, config: PopularityConfig):
        super().__init__(config)
        self.item_counts = nn.Parameter(torch.zeros(config.num_items), requires_grad=False)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, PopularityModel):
            initialization.zeros_(module.item_counts)

    def score_histories(self, input_ids: torch.Tensor, user_rows: torch.Tensor | None = None) -> torch.Tensor:
        """Scores of all items, the same for every history.

        Args:
            input_ids: int64 (batch, length), item rows; only the batch size is used.
            user_rows: not used.

        Returns:
            float (batch, num_items).
        """
        return self.item_counts.expand(len(input_ids), -1).clone()

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Same as `score_histories`."""
        return self.score_histories(input_ids)


PopularityConfig.register_for_auto_class()
PopularityModel.register_for_auto_class("AutoModel")

__all__ = ["PopularityModel"]
