"""`ItemTrie`: the valid indices as flat arrays (CSR), walked for all beams at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

NO_NUMBERS = (
    "are not numbers (NaN): training diverged, or the model overflows in float16 (load it in bfloat16 or float32)"
)


@dataclass(frozen=True)
class TrieLevel:
    """The edges from depth l to depth l + 1.

    Attributes:
        first_child: int64 (nodes at depth l, + 1): children of node n are ``first_child[n]`` .. ``first_child[n + 1]``,
            which are also their node numbers at depth l + 1.
        codes: int64 (nodes at depth l + 1,), the code on the edge to each; increasing within a parent.
        keys: int64 (nodes at depth l + 1,), ``parent * num_codes + code`` of each, increasing.
        leaves: int64 (nodes at depth l + 1,), how many items lie below each.
        node_of_leaf: int64 (items,), the node at depth l + 1 above each leaf.
        fan_out: the largest number of children of a node.
        num_codes: one more than the largest code.
    """

    first_child: torch.Tensor
    codes: torch.Tensor
    keys: torch.Tensor
    leaves: torch.Tensor
    node_of_leaf: torch.Tensor
    fan_out: int
    num_codes: int


class ItemTrie:
    """A prefix trie over the code strings of a catalogue.

    Nodes of a depth are numbered in the order of their code strings, the root being node 0 of depth 0. Memory is linear
    in the catalogue, building is one sort; a step's cost depends on the fan-out, not on the catalogue.

    Args:
        levels: the edges of each level, from the root down.
        item_rows: int64 (leaves,), the item row of each node at the last depth.
    """

    def __init__(self, levels: list[TrieLevel], item_rows: torch.Tensor):
        self.levels, self.item_rows = levels, item_rows
        self._leaf_of_row = torch.full((int(item_rows.max()) + 1,), -1, device=item_rows.device)
        self._leaf_of_row[item_rows] = torch.arange(len(item_rows), device=item_rows.device)

    @classmethod
    def from_codes(cls, codes: np.ndarray, item_rows: np.ndarray | None = None) -> ItemTrie:
        """Build the trie of a catalogue.

        Args:
            codes: int (n, levels), the codes of each item, from 0; any integer type.
            item_rows: int (n,), the row that the trie returns for each item; default: 0 to n - 1.

        Raises:
            ValueError: no items, a negative code, repeated item rows, or items that share their code string.
        """
        codes = np.asarray(codes)
        if codes.ndim != 2 or not codes.size or not np.issubdtype(codes.dtype, np.integer):
            raise ValueError(
                f"codes must be integers (items, levels) with at least one item, got {codes.dtype} {codes.shape}"
            )
        if codes.min() < 0:
            raise ValueError(f"codes must not be negative, item {int(codes.min(1).argmin())} has {int(codes.min())}")
        codes = codes.astype(np.int64)
        rows = np.arange(len(codes)) if item_rows is None else np.asarray(item_rows, dtype=np.int64)
        if rows.shape != (len(codes),) or rows.min() < 0 or len(np.unique(rows)) < len(rows):
            raise ValueError(f"item_rows must be {len(codes)} different rows from 0 on, got shape {rows.shape}")
        order = np.lexsort(codes.T[::-1])
        return cls._from_sorted(codes[order], rows[order])

    @classmethod
    def _from_sorted(cls, codes: np.ndarray, item_rows: np.ndarray) -> ItemTrie:
        # new[i, l]: row i differs from row i - 1 in one of its first l + 1 codes.
        new = np.ones(codes.shape, dtype=bool)
        new[1:] = np.logical_or.accumulate(codes[1:] != codes[:-1], axis=1)
        repeats = ~new[:, -1]
        if repeats.any():
            # Counts every member of a colliding group, as `ItemIndex.collisions` does.
            count = int((repeats | np.append(repeats[1:], False)).sum())
            raise ValueError(f"{count} items share their index with another item: a trie needs a collision-free index")
        levels = []
        parent = np.zeros(len(codes), dtype=np.int64)
        parents = 1
        for level in range(codes.shape[1]):
            starts = np.flatnonzero(new[:, level])
            node = np.cumsum(new[:, level]) - 1
            children = np.bincount(parent[starts], minlength=parents)
            num_codes = int(codes[:, level].max()) + 1
            levels.append(
                TrieLevel(
                    first_child=torch.from_numpy(np.concatenate([[0], np.cumsum(children)])),
                    codes=torch.from_numpy(codes[starts, level]),
                    keys=torch.from_numpy(parent[starts] * num_codes + codes[starts, level]),
                    leaves=torch.from_numpy(np.bincount(node)),
                    node_of_leaf=torch.from_numpy(node),
                    fan_out=int(children.max()),
                    num_codes=num_codes,
                )
            )
            parent, parents = node, len(starts)
        return cls(levels, torch.from_numpy(item_rows))

    @property
    def depth(self) -> int:
        """Number of codes per item."""
        return len(self.levels)

    @property
    def num_items(self) -> int:
        """Number of items, which are the leaves."""
        return len(self.item_rows)

    def to(self, device: torch.device | str) -> ItemTrie:
        """Return the trie with its tensors on ``device``: itself if they are there already."""
        if self.item_rows.device == torch.device(device):
            return self
        levels = []
        for edges in self.levels:
            values = {field.name: getattr(edges, field.name) for field in fields(edges)}
            tensors = {name: value.to(device) for name, value in values.items() if isinstance(value, torch.Tensor)}
            levels.append(replace(edges, **tensors))
        return ItemTrie(levels, self.item_rows.to(device))

    def restrict(self, allowed: np.ndarray) -> ItemTrie:
        """Build the trie of a subset of the items, which keep their item rows. Nothing is sorted: leaves are in order.

        Args:
            allowed: int (m,), item rows; repeats have no effect.

        Raises:
            ValueError: ``allowed`` is empty or has a row that is not in the trie.
        """
        rows = torch.as_tensor(np.asarray(allowed, dtype=np.int64), device=self.item_rows.device).flatten()
        if not len(rows):
            raise ValueError("allowed names no item")
        leaves = torch.unique(self._leaves_of(rows))
        return ItemTrie._from_sorted(self._leaf_codes(leaves).cpu().numpy(), self.item_rows[leaves].cpu().numpy()).to(
            self.item_rows.device
        )

    def children(self, level: int, nodes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Look up the children of nodes.

        Args:
            level: the depth of the nodes, from 0 (the root).
            nodes: int64 (...), -1 for a dead beam.

        Returns:
            child nodes int64 (..., fan_out), their codes int64 (..., fan_out), and bool (..., fan_out), which of the
            slots hold a child. Slots without a child have the node and code of node 0.
        """
        edges = self.levels[level]
        live = nodes.clamp_min(0)
        child = edges.first_child[live].unsqueeze(-1) + torch.arange(edges.fan_out, device=nodes.device)
        real = (child < edges.first_child[live + 1].unsqueeze(-1)) & (nodes >= 0).unsqueeze(-1)
        child = torch.where(real, child, 0)
        return child, edges.codes[child], real

    def step(self, level: int, nodes: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Follow one code from each node.

        Args:
            level: the depth of the nodes, from 0 (the root).
            nodes: int64 (...), -1 for a dead beam.
            codes: int64 (...), the code to follow from each node.

        Returns:
            int64 (...), the child of each node, -1 where there is none.
        """
        edges = self.levels[level]
        wanted = nodes * edges.num_codes + codes
        place = torch.searchsorted(edges.keys, wanted).clamp_max(len(edges.keys) - 1)
        is_code = (nodes >= 0) & (codes >= 0) & (codes < edges.num_codes)
        return torch.where(is_code & (edges.keys[place] == wanted), place, -1)

    def codes_of(self, item_rows: torch.Tensor) -> torch.Tensor:
        """Codes of items.

        Args:
            item_rows: int64 (...), rows of the trie.

        Returns:
            int64 (..., levels).

        Raises:
            ValueError: a row is not in the trie.
        """
        return self._leaf_codes(self._leaves_of(item_rows))

    def _leaf_codes(self, leaves: torch.Tensor) -> torch.Tensor:
        return torch.stack([edges.codes[edges.node_of_leaf[leaves]] for edges in self.levels], dim=-1)

    def find_leaves(self, item_rows: torch.Tensor) -> torch.Tensor:
        """Find the leaves of item rows.

        Args:
            item_rows: int64 (...), on the trie's device.

        Returns:
            int64 (...), -1 for rows that are not in the trie.
        """
        last = len(self._leaf_of_row) - 1
        inside = (item_rows >= 0) & (item_rows <= last)
        return torch.where(inside, self._leaf_of_row[item_rows.clamp(0, last)], -1)

    def _leaves_of(self, item_rows: torch.Tensor) -> torch.Tensor:
        leaves = self.find_leaves(item_rows)
        if (leaves < 0).any():
            raise ValueError(f"item row {int(item_rows[leaves < 0][0])} is not in the trie")
        return leaves

    def leaves_of_rows(self, rows: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """Find the leaves of lists of items.

        Args:
            rows: per batch row, int item rows; repeats and rows outside the trie are ignored.

        Returns:
            the batch rows, int64 (n,), in increasing order, and the leaves, int64 (n,).
        """
        device = self.item_rows.device
        owner = np.repeat(np.arange(len(rows)), [len(items) for items in rows])
        items = np.concatenate([np.asarray(items, dtype=np.int64).ravel() for items in rows])
        leaf = self.find_leaves(torch.from_numpy(items).to(device))
        owner = torch.from_numpy(owner).to(device)[leaf >= 0]
        pairs = torch.unique(owner * self.num_items + leaf[leaf >= 0])
        return pairs // self.num_items, pairs % self.num_items

    def excluded_nodes(self, exclude: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """Find the nodes that lead to excluded items only, for `is_excluded`.

        Args:
            exclude: per batch row, int item rows that must not be returned; rows outside the trie are ignored.

        Returns:
            per level, int64 (any,), sorted keys ``batch row * nodes of the level + node``.
        """
        owner, leaf = self.leaves_of_rows(exclude)
        excluded = []
        for edges in self.levels:
            key, counts = torch.unique(owner * len(edges.leaves) + edges.node_of_leaf[leaf], return_counts=True)
            excluded.append(key[counts == edges.leaves[key % len(edges.leaves)]])
        return excluded

    def is_excluded(self, keys: list[torch.Tensor], level: int, child: torch.Tensor) -> torch.Tensor:
        """Test which nodes lead to excluded items only.

        Args:
            keys: from `excluded_nodes`.
            level: the level whose codes lead to the nodes, from 0: their depth is ``level`` + 1.
            child: int64 (batch, ...), the nodes.

        Returns:
            bool (batch, ...).
        """
        excluded = keys[level]
        if not len(excluded):
            return torch.zeros(child.shape, dtype=torch.bool, device=child.device)
        owner = torch.arange(len(child), device=child.device).view(-1, *[1] * (child.dim() - 1))
        key = owner * len(self.levels[level].leaves) + child
        # A binary search: its cost hardly depends on how many items are excluded.
        place = torch.searchsorted(excluded, key).clamp_max(len(excluded) - 1)
        return excluded[place] == key


def ranked_items(
    trie: ItemTrie, leaves: torch.Tensor, scores: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Select the items of the ``k`` best leaves; equal scores are in item order.

    Args:
        trie: the trie of the leaves.
        leaves: int64 (batch, w), nodes at the last depth, -1 for dead beams.
        scores: float (batch, w), the score of each leaf.
        k: number of items to return.

    Returns:
        item rows int64 (batch, k), padded with -1; scores (batch, k), padded with -inf.

    Raises:
        ValueError: scores that are NaN.
    """
    if scores.isnan().any():
        raise ValueError(f"the model's scores {NO_NUMBERS}")
    dead = leaves < 0
    items = trie.item_rows[leaves.clamp_min(0)].masked_fill(dead, torch.iinfo(torch.int64).max)
    items, order = items.sort(dim=1)
    scores, best = scores.masked_fill(dead, -torch.inf).gather(1, order).sort(dim=1, descending=True, stable=True)
    items = items.gather(1, best).masked_fill(torch.isneginf(scores), -1)[:, :k]
    rows = torch.full((len(leaves), k), -1, dtype=torch.long, device=leaves.device)
    values = torch.full((len(leaves), k), -torch.inf, dtype=scores.dtype, device=leaves.device)
    rows[:, : items.shape[1]], values[:, : items.shape[1]] = items, scores[:, :k]
    return rows, values
