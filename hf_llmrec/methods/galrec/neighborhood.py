"""Sampling the neighbourhood of a training example without using the example's own edge (arXiv 2406.13235).

An example is a user and an item that the user chose. The input from which the item is predicted must be the same with
and without the edge between the two. Hops therefore start from the items *before* it, and the user is never sampled as
a neighbour.
"""

from __future__ import annotations

import numpy as np

from ...data.graph import InteractionGraph

# Number of users per item that are considered when shared items are counted.
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
    """Sample hop 2: users who share items with a history.

    Args:
        graph: of training interactions.
        history: int (n,), item rows, hop 1.
        count: maximum number of users.
        rng: source of the random walks; not used by ``most_shared``.
        user: row of the history's own user, who is excluded; -1: not in the graph.
        order: ``uniform`` walks from random items to random users; ``most_shared`` takes the users who share most
            items, ties by row.

    Returns:
        int64 (m,), user rows without duplicates.
    """
    history = np.unique(history)
    if not len(history):
        return np.zeros(0, dtype=np.int64)
    if order == "most_shared":
        each = [_some_users(graph, int(item)) for item in history]
        users, shared = np.unique(np.concatenate(each), return_counts=True)
        users = users[np.argsort(-shared, kind="stable")]
    else:
        walks = history[rng.integers(len(history), size=4 * count)]
        users = _in_order_of_arrival(graph.sample("item", walks, 1, rng)[:, 0])
    return users[(users != user) & (users >= 0)][:count].astype(np.int64)


def neighbor_items(
    graph: InteractionGraph, users: np.ndarray, history: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Sample hop 3: items of hop-2 users that the history does not have.

    The target may be among them, reached through another user. If it were excluded, the model could learn that hop-3
    items are never the target.

    Args:
        graph: of training interactions.
        users: int (n,), user rows, hop 2.
        history: int (h,), item rows, hop 1, which are excluded.
        count: maximum number of items.
        rng: source of the random walks.

    Returns:
        int64 (m,), item rows without duplicates.
    """
    if not len(users):
        return np.zeros(0, dtype=np.int64)
    walks = users[rng.integers(len(users), size=4 * count)]
    items = _in_order_of_arrival(graph.sample("user", walks, 1, rng)[:, 0])
    return items[(items >= 0) & ~np.isin(items, history)][:count].astype(np.int64)


def item_audience(
    graph: InteractionGraph, item: int, count: int, rng: np.random.Generator, *, without: np.ndarray
) -> np.ndarray:
    """Sample users of an item.

    The two sides of a positive pair must share no token, so the pair's user and the user's hop-2 neighbours are
    excluded before anything is drawn.

    Args:
        graph: of training interactions.
        item: item row.
        count: maximum number of users.
        rng: source of the order.
        without: int (k,), user rows to exclude.

    Returns:
        int64 (m,), user rows without duplicates.
    """
    users = graph.item_users.of(item)
    users = users[(users[:, None] != without).all(axis=1)]
    return rng.permutation(users)[:count].astype(np.int64)


def _in_order_of_arrival(nodes: np.ndarray) -> np.ndarray:
    """Nodes without duplicates, in the order of their first occurrence."""
    _, first = np.unique(nodes, return_index=True)
    return nodes[np.sort(first)]


def _some_users(graph: InteractionGraph, item: int) -> np.ndarray:
    """Users of an item; if there are many, a sample that depends on the item alone."""
    users = graph.item_users.of(item)
    if len(users) <= _MOST_USERS:
        return users
    return np.random.default_rng(item).choice(users, _MOST_USERS, replace=False)
