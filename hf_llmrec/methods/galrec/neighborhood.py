"""The neighbourhood of a training example, drawn so that the example's own edge is never walked (arXiv 2406.13235).

An example is a user and an item that the user chose. Whatever is read to predict that item must be the same with and
without the edge between the two: so hops start from the items *before* it, and the user is nobody's neighbour here.
"""

from __future__ import annotations

import numpy as np

from ...data.graph import InteractionGraph

# Of items that more users have, so many are looked at when shared items are counted.
_MOST_USERS = 256


def neighbor_users(
    graph: InteractionGraph,
    history: np.ndarray,
    count: int,
    rng: np.random.Generator,
    *,
    user: int = -1,
    order: str = "uniform",
) -> np.ndarray:
    """Hop 2: users who share items with a history.

    Args:
        history: int (n,) item rows, hop 1. count: users, at most.
        user: row of the history's own user, left out; -1 where it is not in the graph.
        order: ``uniform`` walks from random items to random users; ``most_shared`` counts shared items, ties by row.

    Returns:
        int64 (m,), rows, none twice.
    """
    history = np.unique(history)
    if not len(history):
        return np.zeros(0, dtype=np.int64)
    if order == "most_shared":
        each = [_some_users(graph, int(item)) for item in history]
        users, shared = np.unique(np.concatenate(each), return_counts=True)
        found = users[np.argsort(-shared, kind="stable")]
    else:
        walks = history[rng.integers(len(history), size=4 * count)]
        found = _in_order_of_arrival(graph.sample("item", walks, 1, rng)[:, 0])
    return found[(found != user) & (found >= 0)][:count].astype(np.int64)


def neighbor_items(
    graph: InteractionGraph, users: np.ndarray, history: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Hop 3: items of hop-2 users that the history does not have, int64 (m,), none twice.

    The target may be among them, by way of another user: where it is not, "never the target" could be learned.
    """
    if not len(users):
        return np.zeros(0, dtype=np.int64)
    walks = users[rng.integers(len(users), size=4 * count)]
    found = _in_order_of_arrival(graph.sample("user", walks, 1, rng)[:, 0])
    return found[(found >= 0) & ~np.isin(found, history)][:count].astype(np.int64)


def item_audience(
    graph: InteractionGraph, item: int, count: int, rng: np.random.Generator, *, without: np.ndarray
) -> np.ndarray:
    """Users of an item, int64 (m,), but those of ``without``.

    The two sides of a positive pair must share no token: the user and the user's hop-2 neighbours are left out before
    anything is drawn.
    """
    users = graph.item_users.of(item)
    users = users[(users[:, None] != without).all(axis=1)]
    return rng.permutation(users)[:count].astype(np.int64)


def _in_order_of_arrival(nodes: np.ndarray) -> np.ndarray:
    _, first = np.unique(nodes, return_index=True)
    return nodes[np.sort(first)]


def _some_users(graph: InteractionGraph, item: int) -> np.ndarray:
    """Users of an item; of many a sample that depends on the item alone."""
    users = graph.item_users.of(item)
    if len(users) <= _MOST_USERS:
        return users
    return np.random.default_rng(item).choice(users, _MOST_USERS, replace=False)
