"""What a search asks of scores that are added to items."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch


class SearchBonus(ABC):
    """For every trie node the largest bonus of the items below it.

    Adding it to the score of a prefix keeps prefixes alive that lead to an item with a high bonus. At the last depth it
    is the bonus of the item itself, so that the final order is that of score plus bonus.

    Attributes:
        at_root: float (batch,), the largest bonus of all items; -inf where all items are excluded.
    """

    at_root: torch.Tensor

    @abstractmethod
    def take(self, prompts: torch.Tensor) -> SearchBonus:
        """The bonus of some of the prompts.

        Args:
            prompts: int64 (m,), their rows, each once.
        """

    def best_below(self, level: int, nodes: torch.Tensor) -> torch.Tensor:
        """Largest bonus of the items below nodes; -inf where all of them are excluded.

        Args:
            level: the level whose codes lead to the nodes: their depth is ``level`` + 1. -1: the root.
            nodes: int64 (batch, ...); -1 for a dead beam, whose value has no meaning.

        Returns:
            float (batch, ...).
        """
        if level < 0:
            return self.at_root.view(-1, *[1] * (nodes.dim() - 1)).expand(nodes.shape)
        return self._below(level, nodes.clamp_min(0).flatten(1)).view(nodes.shape)

    @abstractmethod
    def _below(self, level: int, nodes: torch.Tensor) -> torch.Tensor:
        """`best_below` for live nodes, int64 (batch, n), of a level from 0 on."""
