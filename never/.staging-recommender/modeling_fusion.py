"""The weights of a fusion as a transformers model, which is saved, loaded and served like any other."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel, initialization

from .configuration_fusion import FusionConfig


class FusionModel(PreTrainedModel):
    """Weighted sums of the scores of several recommenders.

    Args:
        config: a [`FusionConfig`].

    Attributes:
        weights: float (num_groups, num_parts), equal at first.
    """

    config_class = FusionConfig
    base_model_prefix = "fusion"
    main_input_name = "scores"

    def __init__(self, config: FusionConfig):
        super().__init__(config)
        self.weights = nn.Parameter(torch.ones(config.num_groups, config.num_parts), requires_grad=False)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, FusionModel):
            initialization.ones_(module.weights)

    def forward(self, scores: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
        """Add the parts' scores up.

        Args:
            scores: float (batch, num_parts, items).
            groups: int64 (batch,), the group of each user.

        Returns:
            float (batch, items).
        """
        weights = self.weights[groups].to(scores.dtype)
        # A part without weight has no say, even where its score is not finite.
        return torch.where(weights.unsqueeze(-1) == 0, 0, weights.unsqueeze(-1) * scores).sum(1)


FusionConfig.register_for_auto_class()
FusionModel.register_for_auto_class("AutoModel")

__all__ = ["FusionModel"]
