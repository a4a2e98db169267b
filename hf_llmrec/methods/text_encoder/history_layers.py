"""The transformer block over the item vectors of a history."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_text_encoder import TextEncoderConfig


class TextEncoderBlock(nn.Module):
    """Pre-norm causal self-attention and feed-forward layer.

    Args:
        config: sizes and dropout.
    """

    def __init__(self, config: TextEncoderConfig):
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size or config.hidden_size
        self.num_heads, self.dropout = config.num_attention_heads, config.hidden_dropout
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.attention_output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Apply the block to float (batch, length, hidden_size); the shape stays the same."""
        heads = self.qkv(self.attention_norm(hidden)).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], is_causal=True)
        mixed = self.attention_output(mixed.transpose(1, 2).flatten(2))
        hidden = hidden + F.dropout(mixed, self.dropout, self.training)
        inner = self.down(F.gelu(self.up(self.feed_forward_norm(hidden))))
        return hidden + F.dropout(inner, self.dropout, self.training)
