"""`ItemTrie`: the valid indices as flat arrays (CSR), walked without Python per beam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class TrieLevel:
    """The edges from depth l to depth l + 1.

    Attributes:
        first_child: int64 (nodes at depth l, + 1): children of node n are ``first_child[n]`` .. ``first_child[n + 1]``,
            which are also their node numbers at depth l + 1.
        codes: int64 (nodes at depth l + 1,), the code on the edge to each; increasing within a parent.
        fan_out: the largest number of children of a node.
        leaves: int64 (nodes at depth l + 1,), how many items lie below each.
        node_of_item: int64 (items,), each item's node at depth l + 1.
    """

    first_child: torch.Tensor
    codes: torch.Tensor
    fan_out: int
    leaves: torch.Tensor
    node_of_item: torch.Tensor


class ItemTrie:
    """A prefix trie over the code strings of a catalogue.

    Memory and building time are linear in the catalogue; a step's cost depends on the fan-out, not on the catalogue.

    Args:
        levels: edges, see `TrieLevel`.
        item_rows: int64 (leaves,), the item row of each node at the last depth.
    """

    def __init__(self, levels: list[TrieLevel], item_rows: torch.Tensor, codes: np.ndarray):
        self.levels, self.item_rows, self._codes = levels, item_rows, codes
        self._position = torch.full((int(item_rows.max()) + 1,), -1)
        self._position[item_rows] = torch.arange(len(item_rows))

    @classmethod
    def from_codes(cls, codes: np.ndarray, item_rows: np.ndarray | None = None) -> ItemTrie:
        """Build from codes (n, levels); ``item_rows`` (n,) names the items, default 0..n-1.

        Raises:
            ValueError: no items, or items that share their code string.
        """
        codes = np.asarray(codes, dtype=np.int64)
        if codes.ndim != 2 or not codes.size:
            raise ValueError(f"codes must be (items, levels) with at least one item, got {codes.shape}")
        order = np.lexsort(codes.T[::-1])
        ordered = codes[order]
        rows = np.arange(len(codes)) if item_rows is None else np.asarray(item_rows, dtype=np.int64)
        # new[i, l]: row i differs from row i - 1 in one of its first l + 1 codes.
        new = np.ones(codes.shape, dtype=bool)
        new[1:] = np.logical_or.accumulate(ordered[1:] != ordered[:-1], axis=1)
        if not new[:, -1].all():
            count = int((~new[:, -1]).sum())
            raise ValueError(f"{count} items share their index with another: a trie needs a collision-free index")
        levels = []
        parent = np.zeros(len(codes), dtype=np.int64)
        parents = 1
        for level in range(codes.shape[1]):
            starts = np.flatnonzero(new[:, level])
            node = np.cumsum(new[:, level]) - 1
            children = np.bincount(parent[starts], minlength=parents)
            node_of_item = np.empty(len(codes), dtype=np.int64)
            node_of_item[order] = node
            levels.append(
                TrieLevel(
                    torch.from_numpy(np.concatenate([[0], np.cumsum(children)])),
                    torch.from_numpy(ordered[starts, level]),
                    int(children.max()),
                    torch.from_numpy(np.bincount(node)),
                    torch.from_numpy(node_of_item),
                )
            )
            parent, parents = node, len(starts)
        return cls(levels, torch.from_numpy(rows[order]), codes)

    @property
    def depth(self) -> int:
        return len(self.levels)

    @property
    def num_items(self) -> int:
        return len(self.item_rows)

    def to(self, device: torch.device | str) -> ItemTrie:
        """The trie with its tensors on ``device``; itself when they are there already."""
        if self.item_rows.device == torch.device(device):
            return self
        moved = object.__new__(ItemTrie)
        moved.levels = [
            TrieLevel(
                x.first_child.to(device), x.codes.to(device), x.fan_out, x.leaves.to(device), x.node_of_item.to(device)
            )
            for x in self.levels
        ]
        moved.item_rows, moved._codes = self.item_rows.to(device), self._codes
        moved._position = self._position.to(device)
        return moved

    def restrict(self, allowed: np.ndarray) -> ItemTrie:
        """The trie of some of the items; item rows stay what they were.

        Raises:
            ValueError: ``allowed`` is empty or names an unknown row.
        """
        allowed = np.unique(np.asarray(allowed, dtype=np.int64))
        known = self.item_rows.cpu().numpy()
        unknown = np.setdiff1d(allowed, known)
        if not len(allowed) or len(unknown):
            raise ValueError(f"allowed must name items of the catalogue, got {unknown[:5].tolist() or 'none'}")
        place = np.argsort(known)[np.searchsorted(np.sort(known), allowed)]
        # `_codes` is in insertion order; node_of_item at the last depth tells which leaf each of its rows is.
        leaf = self.levels[-1].node_of_item.cpu().numpy()
        source = np.argsort(leaf)[place]
        return ItemTrie.from_codes(self._codes[source], allowed).to(self.item_rows.device)

    def children(self, level: int, nodes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Children of nodes at depth ``level``.

        Args:
            nodes: int64 (...), -1 for a dead beam.

        Returns:
            child nodes int64 (..., fan_out), their codes int64 (..., fan_out), and bool (..., fan_out), which are real.
        """
        edges = self.levels[level]
        live = nodes.clamp_min(0)
        child = edges.first_child[live].unsqueeze(-1) + torch.arange(edges.fan_out, device=nodes.device)
        real = (child < edges.first_child[live + 1].unsqueeze(-1)) & (nodes >= 0).unsqueeze(-1)
        child = torch.where(real, child, 0)
        return child, edges.codes[child], real

    def codes_of(self, item_rows: torch.Tensor) -> torch.Tensor:
        """Codes of items, int64 (..., levels); ValueError when a row is not in the trie."""
        inside = (item_rows >= 0) & (item_rows < len(self._position))
        leaf = torch.where(inside, self._position[item_rows.clamp(0, len(self._position) - 1)], -1)
        if (leaf < 0).any():
            raise ValueError(f"item row {int(item_rows[leaf < 0][0])} is not in the trie")
        inverse = torch.empty_like(self.item_rows)
        inverse[self.levels[-1].node_of_item] = torch.arange(len(inverse), device=inverse.device)
        insertion = inverse[leaf]
        return torch.stack([edges.codes[edges.node_of_item[insertion]] for edges in self.levels], dim=-1)

    def step(self, level: int, nodes: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """The child of each node over the given code, -1 where there is none. int64 (...) each."""
        child, child_codes, real = self.children(level, nodes)
        match = (child_codes == codes.unsqueeze(-1)) & real
        found = match.any(-1)
        picked = child.gather(-1, match.long().argmax(-1, keepdim=True)).squeeze(-1)
        return torch.where(found, picked, -1)

    def barred_nodes(self, exclude: list[np.ndarray]) -> list[torch.Tensor]:
        """Nodes whose every item is excluded, per level int64 (batch, widest), padded with -1.

        Args:
            exclude: per batch row, item rows that must not be returned; rows outside the trie are ignored.
        """
        device = self.item_rows.device
        owner = torch.repeat_interleave(
            torch.arange(len(exclude), device=device), torch.tensor([len(np.unique(x)) for x in exclude], device=device)
        )
        flat = [np.unique(np.asarray(x, dtype=np.int64)) for x in exclude]
        items = torch.from_numpy(np.concatenate(flat) if flat else np.empty(0, dtype=np.int64)).to(device)
        inside = (items >= 0) & (items < len(self._position))
        owner, items = owner[inside], items[inside]
        leaf = self._position[items]
        owner, leaf = owner[leaf >= 0], leaf[leaf >= 0]
        inverse = torch.empty_like(self.levels[-1].node_of_item)
        inverse[self.levels[-1].node_of_item] = torch.arange(len(inverse), device=device)
        insertion = inverse[leaf]
        result = []
        for edges in self.levels:
            nodes = edges.node_of_item[insertion]
            key, counts = torch.unique(owner * len(edges.leaves) + nodes, return_counts=True)
            row, node = key // len(edges.leaves), key % len(edges.leaves)
            full = counts == edges.leaves[node]
            row, node = row[full], node[full]
            per_row = torch.bincount(row, minlength=len(exclude))
            widest = int(per_row.max()) if len(per_row) else 0
            table = torch.full((len(exclude), widest), -1, device=device)
            slot = torch.arange(len(row), device=device) - (per_row.cumsum(0) - per_row)[row]
            table[row, slot] = node
            result.append(table)
        return result


def pad_result(trie: ItemTrie, leaves: torch.Tensor, scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Leaves (batch, w), -1 dead, with their scores -> item rows and scores (batch, k)."""
    width = min(k, leaves.shape[1])
    rows = torch.full((len(leaves), k), -1, dtype=torch.long, device=leaves.device)
    values = torch.full((len(leaves), k), -torch.inf, dtype=scores.dtype, device=leaves.device)
    found = leaves[:, :width]
    rows[:, :width] = torch.where(found >= 0, trie.item_rows[found.clamp_min(0)], -1)
    values[:, :width] = torch.where(found >= 0, scores[:, :width], -torch.inf)
    return rows, values
