"""The bipartite user-item graph and its neighbourhoods of one to three hops (arXiv 2406.13235, section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from .splits import RecSplit

SIDES = ("user", "item")
# Nodes with more neighbours than this multiple of the fan-out are sampled by drawing, the others by shuffling.
_DRAW_FROM = 8


@dataclass(frozen=True)
class Adjacency:
    """Neighbours of every node of one side: those of node i are ``indices[indptr[i]:indptr[i + 1]]``.

    Attributes:
        indptr: int64 (nodes + 1,), where the neighbours of each node begin in ``indices``.
        indices: int32 (edges,), rows of the other side, without repeats, in the order of the interactions.
    """

    indptr: np.ndarray
    indices: np.ndarray

    @property
    def degrees(self) -> np.ndarray:
        """int64 (nodes,), number of neighbours of each node."""
        return np.diff(self.indptr)

    def of(self, node: int) -> np.ndarray:
        """int32 (degree,), the neighbours of one node.

        Args:
            node: row of the node.
        """
        return self.indices[self.indptr[node] : self.indptr[node + 1]]


class InteractionGraph:
    """The bipartite graph of users and items; memory is linear in the number of interactions.

    Build it from *training* interactions only, as `from_split` does, so that no neighbourhood contains a held-out
    interaction.

    Args:
        user_items: items of every user.
        item_users: users of every item.

    Attributes:
        user_items: items of every user.
        item_users: users of every item.
    """

    def __init__(self, user_items: Adjacency, item_users: Adjacency):
        self.user_items, self.item_users = user_items, item_users

    @classmethod
    def from_split(cls, split: RecSplit, num_items: int) -> InteractionGraph:
        """Build the graph of a split's training interactions.

        Args:
            split: split whose training interactions are the edges.
            num_items: number of items in the catalogue.
        """
        num_users = len(split.train_indptr) - 1
        users = np.repeat(np.arange(num_users, dtype=np.int32), np.diff(split.train_indptr))
        return cls.from_arrays(users, split.train_indices, num_users, num_items)

    @classmethod
    def from_arrays(cls, users: np.ndarray, items: np.ndarray, num_users: int, num_items: int) -> InteractionGraph:
        """Build the graph of user-item pairs. A repeated pair is one edge, at the place of its first occurrence.

        Args:
            users: int (n,), user row of each pair.
            items: int (n,), item row of each pair.
            num_users: number of users.
            num_items: number of items.

        Raises:
            ValueError: the arrays have different lengths, or a row does not exist.
        """
        users, items = np.asarray(users, dtype=np.int32), np.asarray(items, dtype=np.int32)
        if users.shape != items.shape or users.ndim != 1:
            raise ValueError(f"users and items must be two arrays of one length, got {users.shape} and {items.shape}")
        for name, rows, count in (("user", users, num_users), ("item", items, num_items)):
            if len(rows) and (rows.min() < 0 or rows.max() >= count):
                wrong = rows[(rows < 0) | (rows >= count)][0]
                raise ValueError(
                    f"{name} row {wrong} does not exist: there are {num_users} users and {num_items} items"
                )
        keep = _first_places(users, items, num_items)
        users, items = users[keep], items[keep]
        return cls(_adjacency(users, items, num_users), _adjacency(items, users, num_items))

    @property
    def num_users(self) -> int:
        return len(self.user_items.indptr) - 1

    @property
    def num_items(self) -> int:
        return len(self.item_users.indptr) - 1

    def adjacency(self, side: str) -> Adjacency:
        """Neighbours of the nodes of one side.

        Args:
            side: ``user`` or ``item``.

        Raises:
            ValueError: another side.
        """
        if side not in SIDES:
            raise ValueError(f"side must be one of {SIDES}, got {side!r}")
        return self.user_items if side == "user" else self.item_users

    def sample(self, side: str, nodes: np.ndarray, fan_out: int, rng: np.random.Generator) -> np.ndarray:
        """Sample neighbours of each node uniformly, without replacement.

        Args:
            side: side of ``nodes``, ``user`` or ``item``.
            nodes: int (n,), rows; -1 stands for a node without neighbours.
            fan_out: maximum number of neighbours per node, at least 1.
            rng: source of random numbers.

        Returns:
            int32 (n, fan_out), rows of the other side in random order; -1 where a node has fewer neighbours.

        Raises:
            ValueError: ``fan_out`` is below 1.
        """
        if fan_out < 1:
            raise ValueError(f"fan_out must be at least 1, got {fan_out}")
        adjacency, nodes = self.adjacency(side), np.asarray(nodes, dtype=np.int64)
        starts = adjacency.indptr[nodes]
        degrees = np.where(nodes < 0, 0, adjacency.indptr[nodes + 1] - starts)
        offsets = np.full((len(nodes), fan_out), -1, dtype=np.int64)
        many = degrees > _DRAW_FROM * fan_out
        offsets[many] = _draw_distinct(degrees[many], fan_out, rng)
        offsets[~many] = _shuffled(degrees[~many], fan_out, rng)
        places = np.minimum(starts[:, None] + np.maximum(offsets, 0), len(adjacency.indices) - 1)
        return np.where(offsets >= 0, adjacency.indices[places], -1).astype(np.int32)

    def sample_hops(
        self, side: str, nodes: np.ndarray, fan_outs: Sequence[int], *, seed: int | Sequence[int] = 0
    ) -> list[np.ndarray]:
        """Sample neighbourhoods of one to three hops by repeated `sample`.

        A node is never among its own neighbours at any hop, and no path leads back through its start.

        Args:
            side: side of ``nodes``, ``user`` or ``item``.
            nodes: int (n,), rows.
            fan_outs: maximum number of neighbours per node at each hop, such as ``(20, 10)``.
            seed: seed of the sample.

        Returns:
            per hop int32 (n, fan_outs[0], ..., fan_outs[hop]), padded with -1. Hop 0 holds nodes of the other side,
            hop 1 nodes of the same side, and so on.

        Raises:
            ValueError: no or more than three fan-outs, or one below 1.
        """
        if not 1 <= len(fan_outs) <= 3:
            raise ValueError(f"one to three hops, got fan-outs {tuple(fan_outs)}")
        rng = np.random.default_rng(seed)
        nodes = np.asarray(nodes, dtype=np.int64)
        hops: list[np.ndarray] = []
        current, current_side = nodes.reshape(-1), side
        shape: tuple[int, ...] = (len(nodes),)
        for hop, fan_out in enumerate(fan_outs):
            neighbours = self.sample(current_side, current, fan_out, rng)
            shape = (*shape, fan_out)
            if hop % 2 and len(nodes):  # back on the side of the start, which is no neighbour of itself
                start = np.repeat(nodes, neighbours.size // len(nodes)).reshape(neighbours.shape)
                neighbours = np.where(neighbours == start, -1, neighbours)
            hops.append(neighbours.reshape(shape))
            current = neighbours.reshape(-1)
            current_side = SIDES[1 - SIDES.index(current_side)]
        return hops

    def most_shared(
        self,
        side: str,
        count: int,
        *,
        nodes: np.ndarray | None = None,
        max_degree: int = 256,
        chunk: int = 4096,
        seed: int = 0,
    ) -> np.ndarray:
        """Find the nodes of the same side that share the most neighbours with each node.

        Args:
            side: side of the nodes, ``user`` or ``item``.
            count: maximum number of nodes to return per node.
            nodes: int (n,), rows of the nodes to search for; ``None``: all of the side.
            max_degree: nodes of the other side with more neighbours than this count with a random sample of this many:
                what everybody has says nothing, and the work grows with the square of the degree.
            chunk: number of nodes processed at once.
            seed: seed of the samples of ``max_degree``.

        Returns:
            int32 (n, count), rows with the most shared neighbours first, ties by row; -1 where fewer nodes share any.
        """
        own, other = self.adjacency(side), self.adjacency(SIDES[1 - SIDES.index(side)])
        count_own, count_other = len(own.indptr) - 1, len(other.indptr) - 1
        nodes = np.arange(count_own) if nodes is None else np.asarray(nodes, dtype=np.int64)
        to_other = csr_matrix((np.ones(len(own.indices), np.int32), own.indices, own.indptr), (count_own, count_other))
        limited = _limit_degrees(other, max_degree, np.random.default_rng(seed))
        back = csr_matrix(
            (np.ones(len(limited.indices), np.int32), limited.indices, limited.indptr), (count_other, count_own)
        )
        most_shared = np.empty((len(nodes), count), dtype=np.int32)
        for start in range(0, len(nodes), chunk):
            part = nodes[start : start + chunk]
            most_shared[start : start + chunk] = _top_columns(to_other[part] @ back, part, count)
        return most_shared


def _adjacency(nodes: np.ndarray, others: np.ndarray, count: int) -> Adjacency:
    """The neighbours of ``count`` nodes, in the order of the pairs ``nodes[i], others[i]``."""
    indptr = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.bincount(nodes, minlength=count), out=indptr[1:])
    return Adjacency(indptr, others[np.argsort(nodes, kind="stable")])


def _first_places(users: np.ndarray, items: np.ndarray, num_items: int) -> np.ndarray:
    """bool (n,), whether a pair occurs for the first time."""
    pairs = users.astype(np.int64) * num_items + items
    order = np.argsort(pairs, kind="stable")
    ranked = pairs[order]
    keep = np.ones(len(pairs), dtype=bool)
    keep[order[1:][ranked[1:] == ranked[:-1]]] = False
    return keep


def _shuffled(degrees: np.ndarray, fan_out: int, rng: np.random.Generator) -> np.ndarray:
    """int64 (n, fan_out), distinct random offsets below each degree, padded with -1; for small degrees."""
    width = max(int(degrees.max(initial=0)), fan_out)
    keys = rng.random((len(degrees), width), dtype=np.float32)
    beyond = np.arange(width) >= degrees[:, None]
    keys[beyond] = 2.0
    if width > fan_out:
        chosen = np.argpartition(keys, fan_out - 1, axis=1)[:, :fan_out]
    else:
        chosen = np.broadcast_to(np.arange(width), keys.shape)
    chosen_keys = np.take_along_axis(keys, chosen, axis=1)
    order = np.argsort(chosen_keys, axis=1)
    offsets = np.take_along_axis(chosen, order, axis=1)
    return np.where(np.take_along_axis(chosen_keys, order, axis=1) < 2.0, offsets, -1)


def _draw_distinct(degrees: np.ndarray, fan_out: int, rng: np.random.Generator) -> np.ndarray:
    """int64 (n, fan_out), distinct random offsets below each degree; equal ones are drawn again."""
    offsets = (rng.random((len(degrees), fan_out)) * degrees[:, None]).astype(np.int64)
    while len(offsets):
        order = np.argsort(offsets, axis=1, kind="stable")
        ranked = np.take_along_axis(offsets, order, axis=1)
        same = np.zeros_like(ranked, dtype=bool)
        same[:, 1:] = ranked[:, 1:] == ranked[:, :-1]
        rows, places = np.nonzero(same)
        if not len(rows):
            break
        offsets[rows, order[rows, places]] = (rng.random(len(rows)) * degrees[rows]).astype(np.int64)
    return offsets


def _limit_degrees(adjacency: Adjacency, limit: int, rng: np.random.Generator) -> Adjacency:
    """The graph with at most ``limit`` neighbours per node, drawn at random."""
    degrees = adjacency.degrees
    if not len(degrees) or degrees.max() <= limit:
        return adjacency
    keep = np.ones(len(adjacency.indices), dtype=bool)
    for node in np.flatnonzero(degrees > limit):
        start, stop = adjacency.indptr[node], adjacency.indptr[node + 1]
        keep[start:stop] = False
        keep[start + rng.choice(stop - start, limit, replace=False)] = True
    indptr = np.concatenate([[0], np.cumsum(np.minimum(degrees, limit))])
    return Adjacency(indptr, adjacency.indices[keep])


def _top_columns(shared: csr_matrix, nodes: np.ndarray, count: int) -> np.ndarray:
    """int32 (n, count), the columns with the largest values of each row, without the row's own node; padded with -1."""
    rows = np.repeat(np.arange(len(nodes)), np.diff(shared.indptr))
    others = shared.indices != nodes[rows]
    rows, columns, values = rows[others], shared.indices[others].astype(np.int64), shared.data[others]
    # One key instead of three: rows ascending, values descending, columns ascending.
    largest, width = int(values.max(initial=0)), int(columns.max(initial=0)) + 1
    order = np.argsort((rows * (largest + 1) + (largest - values)) * width + columns)
    rows, columns = rows[order], columns[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    is_top = place < count
    top = np.full((len(nodes), count), -1, dtype=np.int32)
    top[rows[is_top], place[is_top]] = columns[is_top]
    return top
