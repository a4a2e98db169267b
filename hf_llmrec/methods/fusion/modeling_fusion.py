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

    A user with a history of ``length`` items has the weights
    ``weights + length_weights * (log(1 + length) - config.mean_log_length)``.

    Attributes:
        weights: float (num_parts,), equal at first.
        length_weights: float (num_parts,), 0 at first.
        is_cold: bool (num_items,), items without training interactions, which have the next two instead; absent if
            ``config.num_items`` is 0.
        cold_weights: float (num_parts,), 0 at first.
        cold_bias: float (1,), 0 at first; added to their scores.
    """

    config_class = FusionConfig
    base_model_prefix = "fusion"
    main_input_name = "scores"
    is_cold: torch.Tensor

    def __init__(self, config: FusionConfig):
        super().__init__(config)
        self.weights = nn.Parameter(torch.ones(config.num_parts), requires_grad=False)
        self.length_weights = nn.Parameter(torch.zeros(config.num_parts), requires_grad=False)
        if config.num_items:
            self.register_buffer("is_cold", torch.zeros(config.num_items, dtype=torch.bool))
            self.cold_weights = nn.Parameter(torch.zeros(config.num_parts), requires_grad=False)
            self.cold_bias = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, FusionModel):
            initialization.ones_(module.weights)
            initialization.zeros_(module.length_weights)
            if module.config.num_items:
                for tensor in (module.is_cold, module.cold_weights, module.cold_bias):
                    initialization.zeros_(tensor)

    def forward(self, scores: torch.Tensor, lengths: torch.Tensor, items: torch.Tensor | None = None) -> torch.Tensor:
        """Add the parts' scores up.

        Args:
            scores: float (batch, num_parts, items).
            lengths: int64 (batch,), number of items in each user's history.
            items: int64 (batch, items), item rows; ``None``: none of them is cold.

        Returns:
            float (batch, items).
        """
        position = torch.log1p(lengths.to(torch.float64)) - self.config.mean_log_length
        weights = self.weights.double() + self.length_weights.double() * position.unsqueeze(-1)
        total = _weighted(weights, scores)
        if items is None or not self.config.num_items:
            return total
        cold = _weighted(self.cold_weights[None], scores) + self.cold_bias.to(scores.dtype)
        return torch.where(self.is_cold[items], cold, total)


def _weighted(weights: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Float (batch, items), the sums over the parts; a part without weight has no say, even where it is not finite."""
    weights = weights.to(scores.dtype).unsqueeze(-1)
    return torch.where(weights == 0, 0, weights * scores).sum(1)


FusionConfig.register_for_auto_class()
FusionModel.register_for_auto_class("AutoModel")

__all__ = ["FusionModel"]
