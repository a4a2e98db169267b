"""Popularity as a model: it saves, loads and serves like any other."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel, initialization

from .configuration_popularity import PopularityConfig


class PopularityModel(PreTrainedModel):
    """Scores every item by its number of training interactions, whatever the history.

    Attributes:
        item_counts: float (num_items,).
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

    def score_histories(self, input_ids: torch.LongTensor, user_rows: torch.LongTensor | None = None) -> torch.Tensor:
        """float (batch, num_items) for int64 (batch, length) item rows, which only say how many lists are wanted."""
        return self.item_counts.expand(len(input_ids), -1).clone()

    def forward(self, input_ids: torch.LongTensor) -> torch.Tensor:
        """Same as `score_histories`."""
        return self.score_histories(input_ids)


PopularityConfig.register_for_auto_class()
PopularityModel.register_for_auto_class("AutoModel")

__all__ = ["PopularityModel"]
