"""Scores that are added to a few items per prompt during the search; its cost does not depend on the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .item_trie import ItemTrie
from .search_bonus import SearchBonus


class SparseItemBonus(SearchBonus):
    """[`SearchBonus`] of a few items per prompt: the others have a bonus of 0.

    Only nodes above items with a bonus are stored.

    Args:
        trie: the valid indices.
        prompts: int64 (n,), the prompt of each bonus.
        leaves: int64 (n,), the leaf of the trie that it belongs to. Several of one prompt and leaf are added.
        values: float (n,), finite.
        num_prompts: number of prompts.
        exclude: per prompt, int item rows that must not be returned; prefixes that lead to such items only are pruned;
            ``None``: none.
    """

    def __init__(
        self,
        trie: ItemTrie,
        prompts: torch.Tensor,
        leaves: torch.Tensor,
        values: torch.Tensor,
        num_prompts: int,
        exclude: Sequence[np.ndarray] | None = None,
    ):
        if exclude is not None:
            left_out, gone = trie.leaves_of_rows(exclude)
            prompts, leaves = torch.cat([prompts, left_out]), torch.cat([leaves, gone])
            values = torch.cat([values, values.new_full((len(gone),), -torch.inf)])
        keys, place = torch.unique(prompts * trie.num_items + leaves, return_inverse=True)
        best = values.new_zeros(len(keys)).index_add_(0, place, values)
        prompts, leaves = keys // trie.num_items, keys % trie.num_items
        self._nodes = [len(edges.leaves) for edges in trie.levels]
        self._levels = []
        for edges in trie.levels:
            size = len(edges.leaves)
            keys, place, counts = torch.unique(
                prompts * size + edges.node_of_leaf[leaves], return_inverse=True, return_counts=True
            )
            below = best.new_full((len(keys),), -torch.inf).scatter_reduce_(0, place, best, "amax")
            # The other items below have a bonus of 0.
            self._levels.append((keys, torch.where(counts == edges.leaves[keys % size], below, below.clamp_min(0))))
        counts = torch.bincount(prompts, minlength=num_prompts)
        below = best.new_full((num_prompts,), -torch.inf).scatter_reduce_(0, prompts, best, "amax")
        self.at_root = torch.where(counts == trie.num_items, below, below.clamp_min(0))

    def take(self, prompts):
        part = object.__new__(SparseItemBonus)
        part._nodes, part.at_root, part._levels = self._nodes, self.at_root[prompts], []
        new = torch.full((len(self.at_root),), -1, device=prompts.device)
        new[prompts] = torch.arange(len(prompts), device=prompts.device)
        for size, (keys, best) in zip(self._nodes, self._levels, strict=True):
            kept = new[keys // size] >= 0
            moved, order = torch.sort(new[keys[kept] // size] * size + keys[kept] % size)
            part._levels.append((moved, best[kept][order]))
        return part

    def _below(self, level, nodes):
        keys, best = self._levels[level]
        if not len(keys):
            return self.at_root.new_zeros(nodes.shape)
        key = torch.arange(len(nodes), device=nodes.device).unsqueeze(1) * self._nodes[level] + nodes
        place = torch.searchsorted(keys, key).clamp_max(len(keys) - 1)
        return torch.where(keys[place] == key, best[place], 0)
