"""The final, collision-free assignment, after which no two items have the same codes.

Items that share all codes but the last get distinct last codes at minimum total distance (an assignment problem, solved
exactly). The paper re-assigns colliding items by repeated Sinkhorn passes instead (arXiv 2311.09049, section 3.2.2),
which reduces collisions without a guarantee; `sinkhorn_repair` implements this for comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from .rqvae.sinkhorn import sinkhorn


@dataclass
class Assignment:
    """Result of `assign_unique`.

    Attributes:
        codes: int32 (n, levels), all rows different.
        collisions_before: number of items that shared all their codes with another item before the assignment.
        moved: number of items whose codes changed.
        spilled: number of items moved to another prefix because theirs had more items than last-level codes.
    """

    codes: np.ndarray
    collisions_before: int
    moved: int
    spilled: int


def squared_distances(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances.

    Args:
        points: float (n, dim).
        centers: float (k, dim).

    Returns:
        float64 (n, k).
    """
    points, centers = np.asarray(points, dtype=np.float64), np.asarray(centers, dtype=np.float64)
    products = points @ centers.T
    return np.maximum((points**2).sum(1)[:, None] - 2 * products + (centers**2).sum(1), 0.0)


def colliding(codes: np.ndarray) -> np.ndarray:
    """Whether each row occurs more than once.

    Args:
        codes: int (n, levels).

    Returns:
        bool (n,).
    """
    _, inverse, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    return counts[inverse.ravel()] > 1


def _spill(
    groups: np.ndarray, size: int, num_prefixes: int, costs: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, int]:
    """Move items out of prefixes with more than ``size`` items, each to the nearest prefix with a free code.

    Args:
        groups: int (n,), the number of each item's prefix.
        size: largest number of items per prefix.
        num_prefixes: number of prefixes.
        costs: ``costs(rows)`` is float (len(rows), num_prefixes), the distances of items to all prefixes.

    Returns:
        The new prefix number of each item, and the number of items moved.
    """
    group, spilled = groups.copy(), 0
    occupancy = np.bincount(group, minlength=num_prefixes)
    for crowded in np.flatnonzero(occupancy > size):
        members = np.flatnonzero(group == crowded)
        cost = costs(members)
        # The items farthest from the prefix leave. Ties are broken by row, so that every run gives the same result.
        order = np.lexsort((members, -cost[:, crowded]))
        for member in members[order[: len(members) - size]]:
            row = cost[np.searchsorted(members, member)]
            for target in np.argsort(row, kind="stable"):
                if target != crowded and occupancy[target] < size:
                    group[member] = target
                    occupancy[target] += 1
                    occupancy[crowded] -= 1
                    spilled += 1
                    break
            else:
                raise ValueError(f"{len(groups)} items do not fit: no prefix has a free last-level code")
    return group, spilled


def assign_unique(
    codes: np.ndarray,
    last_distances: Callable[[np.ndarray, np.ndarray], np.ndarray],
    prefix_vectors: Callable[[np.ndarray], np.ndarray],
    inputs: np.ndarray,
    last_size: int,
) -> Assignment:
    """Give every item a unique sequence of codes.

    Args:
        codes: int (n, levels), nearest codes, which may collide.
        last_distances: ``last_distances(rows, prefix_codes)`` is float (len(rows), last_size), the cost of each
            last-level code for these items when their prefix is ``prefix_codes``, int (levels - 1,).
        prefix_vectors: ``prefix_vectors(prefixes)`` is float (p, dim), the vectors that the prefixes, int
            (p, levels - 1), represent.
        inputs: float (n, dim), the items' vectors in the space of the prefixes; used if a prefix has more items than
            last-level codes.
        last_size: number of codes of the last level.

    Returns:
        The assignment. It is deterministic, also for identical vectors: ties are broken by the row order.

    Raises:
        ValueError: there are more items than codes.
    """
    codes = np.ascontiguousarray(codes, dtype=np.int32)
    before = colliding(codes)
    if not len(codes):
        return Assignment(codes.copy(), 0, 0, 0)
    prefixes, group = np.unique(codes[:, :-1], axis=0, return_inverse=True)
    group = group.ravel()
    spilled = 0
    if np.bincount(group).max() > last_size:
        prefixes = _with_room(prefixes, len(codes), codes, last_size)
        vectors = np.asarray(prefix_vectors(prefixes), dtype=np.float64)
        group, spilled = _spill(
            group_of(codes[:, :-1], prefixes),
            last_size,
            len(prefixes),
            lambda rows: squared_distances(inputs[rows], vectors),
        )
    unique = codes.copy()
    unique[:, :-1] = prefixes[group]
    order = np.argsort(group, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        is_unchanged = np.all(codes[members, :-1] == prefixes[group[members[0]]])
        if is_unchanged and len(np.unique(codes[members, -1])) == len(members):
            continue  # the nearest codes are distinct already, and no assignment is cheaper
        cost = np.asarray(last_distances(members, prefixes[group[members[0]]]), dtype=np.float64)
        rows, columns = linear_sum_assignment(cost)
        unique[members[rows], -1] = columns
    moved = int((unique != codes).any(axis=1).sum())
    return Assignment(unique, int(before.sum()), moved, spilled)


def group_of(values: np.ndarray, prefixes: np.ndarray) -> np.ndarray:
    """The row number in ``prefixes`` of every row of ``values``.

    Args:
        values: int (n, width); every row is one of ``prefixes``.
        prefixes: int (p, width), distinct rows.

    Returns:
        int64 (n,).
    """
    _, inverse = np.unique(np.concatenate([prefixes, values]), axis=0, return_inverse=True)
    inverse = inverse.ravel()
    place = np.empty(inverse.max() + 1, dtype=np.int64)
    place[inverse[: len(prefixes)]] = np.arange(len(prefixes))
    return place[inverse[len(prefixes) :]]


def _with_room(prefixes: np.ndarray, items: int, codes: np.ndarray, last_size: int) -> np.ndarray:
    """The prefixes in use and as many unused ones, in code order, as are needed to fit all items."""
    if len(prefixes) * last_size >= items:
        return prefixes
    width = codes.shape[1] - 1
    if width == 0:
        raise ValueError(f"{items} items do not fit into one level of {last_size} codes")
    used = {tuple(prefix) for prefix in prefixes.tolist()}
    largest = max(last_size, int(codes.max()) + 1)
    extra = []
    for prefix in np.ndindex(*([largest] * width)):
        if (len(prefixes) + len(extra)) * last_size >= items:
            break
        if prefix not in used:
            extra.append(prefix)
    if (len(prefixes) + len(extra)) * last_size < items:
        raise ValueError(f"{items} items do not fit into {width + 1} levels of {last_size} codes")
    return np.concatenate([prefixes, np.array(extra, dtype=prefixes.dtype)])


def sinkhorn_repair(
    codes: np.ndarray, last_distances: np.ndarray, *, rounds: int = 20, epsilon: float = 0.003, iterations: int = 50
) -> tuple[np.ndarray, list[int]]:
    """The paper's method, for comparison: re-assign the last codes of colliding items by Sinkhorn until none changes.

    Args:
        codes: int (n, levels), nearest codes.
        last_distances: float (n, last_size), the cost of each last-level code for each item.
        rounds: largest number of rounds.
        epsilon: entropy of the assignment, see `sinkhorn`.
        iterations: iterations of Sinkhorn-Knopp per round.

    Returns:
        codes int32 (n, levels), which may still collide, and the number of colliding items after each round.
    """
    codes = np.array(codes, dtype=np.int32)
    history: list[int] = []
    for _ in range(rounds):
        rows = np.flatnonzero(colliding(codes))
        if not len(rows) or (len(history) > 1 and history[-1] == history[-2]):
            break
        _, group = np.unique(codes[rows, :-1], axis=0, return_inverse=True)
        for number in np.unique(group.ravel()):
            members = rows[group.ravel() == number]
            codes[members, -1] = sinkhorn(last_distances[members], epsilon, iterations).argmax(axis=1)
        history.append(int(colliding(codes).sum()))
    return codes, history
