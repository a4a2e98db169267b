"""Scores that are added to items during the search (item-supported decoding, arXiv 2607.24995)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .item_trie import ItemTrie
from .search_bonus import SearchBonus


class ItemBonus(SearchBonus):
    """[`SearchBonus`] of a number for every prompt and item.

    Args:
        trie: the valid indices.
        values: float (batch, rows), the bonus of each item row, finite, on the trie's device.
        exclude: per prompt, int item rows that must not be returned, so that they keep no prefix alive; ``None``: none.

    Attributes:
        by_level: per level, float (batch, nodes at depth level + 1); -inf where all items below are excluded.
    """

    def __init__(self, trie: ItemTrie, values: torch.Tensor, exclude: Sequence[np.ndarray] | None = None):
        if exclude is not None:
            values = values.clone()
            for row, items in enumerate(exclude):
                items = np.asarray(items, dtype=np.int64).ravel()
                items = items[(items >= 0) & (items < values.shape[1])]  # others are in no trie of these rows
                values[row, torch.from_numpy(items).to(values.device)] = -torch.inf
        best = values[:, trie.item_rows]
        self.by_level = [best]
        for edges in reversed(trie.levels[1:]):
            # The children of a node are neighbours: node n owns first_child[n] .. first_child[n + 1] - 1.
            counts = edges.first_child.diff()
            parent = torch.arange(len(counts), device=best.device).repeat_interleave(counts)
            empty = best.new_full((len(best), len(counts)), -torch.inf)
            best = empty.scatter_reduce(1, parent.expand(len(best), -1), best, "amax")
            self.by_level.insert(0, best)
        self.at_root = best.amax(dim=1)

    def take(self, prompts):
        part = object.__new__(ItemBonus)
        part.by_level, part.at_root = [best[prompts] for best in self.by_level], self.at_root[prompts]
        return part

    def _below(self, level, nodes):
        return self.by_level[level].gather(1, nodes)
