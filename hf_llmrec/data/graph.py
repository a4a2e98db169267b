"""The bipartite graph of users and items: who is one, two or three steps away (arXiv 2406.13235, section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from .splits import RecSplit

SIDES = ("user", "item")
# Rows with so many times the fan-out in neighbours are sampled by drawing; below, by shuffling them.
_DRAW_FROM = 8


@dataclass(frozen=True)
class Adjacency:
    """Neighbours of every node of one side: node i has ``indices[indptr[i]:indptr[i + 1]]``.

    Attributes:
        indptr: int64 (nodes + 1,). indices: int32, nodes of the other side, without repeats, in the order of the
            interactions.
    """

    indptr: np.ndarray
    indices: np.ndarray

    @property
    def degrees(self) -> np.ndarray:
        """int64 (nodes,)."""
        return np.diff(self.indptr)

    def of(self, node: int) -> np.ndarray:
        """int32, the neighbours of one node."""
        return self.indices[self.indptr[node] : self.indptr[node + 1]]


class InteractionGraph:
    """Users and items joined by their interactions; memory is linear in them.

    Made of *training* interactions only, see `from_split`: what is held out is in no neighbourhood.

    Attributes:
        user_items: items of every user. item_users: users of every item.
    """

    def __init__(self, user_items: Adjacency, item_users: Adjacency):
        self.user_items, self.item_users = user_items, item_users

    @classmethod
    def from_split(cls, split: RecSplit, num_items: int) -> InteractionGraph:
        """The graph of a split's training interactions."""
        num_users = len(split.train_indptr) - 1
        users = np.repeat(np.arange(num_users, dtype=np.int32), np.diff(split.train_indptr))
        return cls.from_arrays(users, split.train_indices, num_users, num_items)

    @classmethod
    def from_arrays(cls, users: np.ndarray, items: np.ndarray, num_users: int, num_items: int) -> InteractionGraph:
        """The graph of pairs; a pair that occurs again counts once, at its first place.

        Args:
            users, items: int (n,), rows.

        Raises:
            ValueError: arrays of different lengths, or a row that does not exist.
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
        """Neighbours of the nodes of ``side``, ``user`` or ``item``."""
        if side not in SIDES:
            raise ValueError(f"side must be one of {SIDES}, got {side!r}")
        return self.user_items if side == "user" else self.item_users

    def sample(self, side: str, nodes: np.ndarray, fan_out: int, rng: np.random.Generator) -> np.ndarray:
        """Uniform neighbours of each node, none twice.

        Args:
            side: of ``nodes``. nodes: int (n,), rows; -1 has no neighbours.
            fan_out: neighbours per node, at most.
            rng: drawn from.

        Returns:
            int32 (n, fan_out) rows of the other side in random order, -1 where a node has fewer.
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
        found = adjacency.indices[np.minimum(starts[:, None] + np.maximum(offsets, 0), len(adjacency.indices) - 1)]
        return np.where(offsets >= 0, found, -1).astype(np.int32)

    def sample_hops(
        self, side: str, nodes: np.ndarray, fan_outs: Sequence[int], *, seed: int | Sequence[int] = 0
    ) -> list[np.ndarray]:
        """Neighbourhoods of one to three hops by repeated `sample`.

        A node is never among its own neighbours at any hop, and no path goes back over the node it started from.

        Args:
            side: of ``nodes``. nodes: int (n,).
            fan_outs: neighbours per node at each hop, such as ``(20, 10)``.
            seed: fixes the sample.

        Returns:
            per hop int32 (n, fan_outs[0], ..., fan_outs[hop]), -1 padding; hop 0 is of the other side, hop 1 of the
            nodes' own, and so on.
        """
        if not 1 <= len(fan_outs) <= 3:
            raise ValueError(f"one to three hops, got fan-outs {tuple(fan_outs)}")
        rng = np.random.default_rng(seed)
        nodes = np.asarray(nodes, dtype=np.int64)
        hops: list[np.ndarray] = []
        current, current_side = nodes.reshape(-1), side
        shape: tuple[int, ...] = (len(nodes),)
        for hop, fan_out in enumerate(fan_outs):
            found = self.sample(current_side, current, fan_out, rng)
            shape = (*shape, fan_out)
            if hop % 2:  # back on the nodes' own side: the start is no neighbour of itself
                own = np.repeat(nodes, found.size // len(nodes)).reshape(found.shape) if len(nodes) else found
                found = np.where(found == own, -1, found)
            hops.append(found.reshape(shape))
            current = found.reshape(-1)
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
        """The nodes of its own side with which a node shares most neighbours.

        Args:
            side: of the nodes. count: how many per node, at most.
            nodes: int (n,), whose; default: all.
            max_degree: nodes of the other side with more neighbours are counted with a random sample of so many: what
                everybody has tells nothing, and the work grows with the square.
            chunk: nodes worked on at once. seed: fixes those samples.

        Returns:
            int32 (n, count), most shared first, equal ones by row, -1 where fewer share anything.
        """
        own, other = self.adjacency(side), self.adjacency(SIDES[1 - SIDES.index(side)])
        count_own, count_other = len(own.indptr) - 1, len(other.indptr) - 1
        nodes = np.arange(count_own) if nodes is None else np.asarray(nodes, dtype=np.int64)
        to_other = csr_matrix((np.ones(len(own.indices), np.int32), own.indices, own.indptr), (count_own, count_other))
        limited = _limit_degrees(other, max_degree, np.random.default_rng(seed))
        back = csr_matrix(
            (np.ones(len(limited.indices), np.int32), limited.indices, limited.indptr), (count_other, count_own)
        )
        result = np.full((len(nodes), count), -1, dtype=np.int32)
        for start in range(0, len(nodes), chunk):
            some = nodes[start : start + chunk]
            _fill_top(to_other[some] @ back, some, result[start : start + chunk])
        return result


def _adjacency(nodes: np.ndarray, others: np.ndarray, count: int) -> Adjacency:
    """The neighbours of ``count`` nodes, in the order of the pairs."""
    indptr = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.bincount(nodes, minlength=count), out=indptr[1:])
    return Adjacency(indptr, others[np.argsort(nodes, kind="stable")])


def _first_places(users: np.ndarray, items: np.ndarray, num_items: int) -> np.ndarray:
    """bool (n,), where a pair occurs for the first time."""
    pairs = users.astype(np.int64) * num_items + items
    order = np.argsort(pairs, kind="stable")
    ranked = pairs[order]
    keep = np.ones(len(pairs), dtype=bool)
    keep[order[1:][ranked[1:] == ranked[:-1]]] = False
    return keep


def _shuffled(degrees: np.ndarray, fan_out: int, rng: np.random.Generator) -> np.ndarray:
    """int64 (n, fan_out), distinct offsets below each degree in random order, -1 beyond; degrees are small."""
    width = max(int(degrees.max(initial=0)), fan_out)
    keys = rng.random((len(degrees), width), dtype=np.float32)
    beyond = np.arange(width) >= degrees[:, None]
    keys[beyond] = 2.0
    if width > fan_out:
        chosen = np.argpartition(keys, fan_out - 1, axis=1)[:, :fan_out]
    else:
        chosen = np.broadcast_to(np.arange(width), keys.shape)
    kept = np.take_along_axis(keys, chosen, axis=1)
    order = np.argsort(kept, axis=1)
    offsets = np.take_along_axis(chosen, order, axis=1)
    return np.where(np.take_along_axis(kept, order, axis=1) < 2.0, offsets, -1)


def _draw_distinct(degrees: np.ndarray, fan_out: int, rng: np.random.Generator) -> np.ndarray:
    """int64 (n, fan_out), distinct offsets below each degree, drawn again where two are the same."""
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
    """At most ``limit`` random neighbours of every node."""
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


def _fill_top(shared: csr_matrix, nodes: np.ndarray, result: np.ndarray) -> None:
    """Write the columns with the largest values of each row, but the row's own node, into ``result``."""
    rows = np.repeat(np.arange(shared.shape[0]), np.diff(shared.indptr))
    others = shared.indices != nodes[rows]
    rows, columns, values = rows[others], shared.indices[others].astype(np.int64), shared.data[others]
    # One key instead of three: rows ascending, values descending, columns ascending.
    most, width = int(values.max(initial=0)), int(shared.shape[1])
    order = np.argsort((rows * (most + 1) + (most - values)) * width + columns)
    rows, columns = rows[order], columns[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    inside = place < result.shape[1]
    result[rows[inside], place[inside]] = columns[inside]
