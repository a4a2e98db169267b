"""The collision-free final assignment: every item ends with a code string of its own.

Items that share all codes but the last get distinct last codes at minimum total distance (an assignment problem, solved
exactly). The paper re-assigns colliding items by repeated Sinkhorn passes instead (arXiv 2311.09049, section 3.2.2),
which lowers collisions but promises nothing; `sinkhorn_repair` is there for comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from .rqvae.sinkhorn import sinkhorn


@dataclass
class Assignment:
    """Result of `assign_unique`.

    Attributes:
        codes: int32 (n, levels), all rows different.
        collisions_before: items that shared their code string with another before.
        moved: items whose code string changed.
        spilled: items that left a prefix with more items than codes.
    """

    codes: np.ndarray
    collisions_before: int
    moved: int
    spilled: int


def squared_distances(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """float64 (n, k) squared Euclidean distances."""
    points, centers = np.asarray(points, dtype=np.float64), np.asarray(centers, dtype=np.float64)
    products = points @ centers.T
    return np.maximum((points**2).sum(1)[:, None] - 2 * products + (centers**2).sum(1), 0.0)


def colliding(codes: np.ndarray) -> np.ndarray:
    """bool (n,): whether a row occurs more than once."""
    _, inverse, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    return counts[inverse.ravel()] > 1


def _spill(prefixes: np.ndarray, size: int, costs, blocked: np.ndarray) -> tuple[np.ndarray, int]:
    """Prefix number per item with at most ``size`` items each; farthest items go to the next-nearest prefix."""
    group, spilled = prefixes.copy(), 0
    occupancy = np.bincount(group, minlength=len(blocked))
    for crowded in np.flatnonzero(occupancy > size):
        members = np.flatnonzero(group == crowded)
        cost = costs(members)
        # Who is best served elsewhere leaves; ties by row, so identical items are treated the same in every run.
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
                raise ValueError(f"{len(prefixes)} items do not fit: no prefix has a free last-level code")
    return group, spilled


def assign_unique(codes: np.ndarray, last_distances, prefix_vectors, inputs: np.ndarray, last_size: int) -> Assignment:
    """Give every item a code string of its own.

    Args:
        codes: int (n, levels), nearest codes, which may collide.
        last_distances: ``last_distances(rows, prefix_codes)`` gives float (len(rows), last_size), the cost of each
            last-level code for these items when their prefix is ``prefix_codes`` int (levels - 1,).
        prefix_vectors: ``prefix_vectors(prefixes)`` gives float (p, dim), what prefixes int (p, levels - 1) stand for.
        inputs: float (n, dim), in the same space; used where a prefix overflows.
        last_size: codes of the last level.

    Returns:
        see `Assignment`. Deterministic, also for identical vectors: ties follow the row order.

    Raises:
        ValueError: more items than the used prefixes have room for, and no unused prefix is left to open.
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
            lambda rows: squared_distances(inputs[rows], vectors),
            np.zeros(len(prefixes), dtype=bool),
        )
    result = codes.copy()
    result[:, :-1] = prefixes[group]
    order = np.argsort(group, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        kept = np.all(codes[members, :-1] == prefixes[group[members[0]]])
        if kept and len(np.unique(codes[members, -1])) == len(members):
            continue  # nearest codes are distinct already, and no assignment is cheaper
        cost = np.asarray(last_distances(members, prefixes[group[members[0]]]), dtype=np.float64)
        rows, columns = linear_sum_assignment(cost)
        result[members[rows], -1] = columns
    moved = int((result != codes).any(axis=1).sum())
    return Assignment(result, int(before.sum()), moved, spilled)


def group_of(values: np.ndarray, prefixes: np.ndarray) -> np.ndarray:
    """Row number in ``prefixes`` of every row of ``values``."""
    _, inverse = np.unique(np.concatenate([prefixes, values]), axis=0, return_inverse=True)
    inverse = inverse.ravel()
    place = np.empty(inverse.max() + 1, dtype=np.int64)
    place[inverse[: len(prefixes)]] = np.arange(len(prefixes))
    return place[inverse[len(prefixes) :]]


def _with_room(prefixes: np.ndarray, items: int, codes: np.ndarray, last_size: int) -> np.ndarray:
    """The used prefixes, joined by unused ones in code order until everything fits."""
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
    """The paper's way, for comparison: colliding items draw their last code anew by Sinkhorn until nothing changes.

    Args:
        codes: int (n, levels). last_distances: float (n, last_size), cost of each last-level code.
        rounds: at most so many.

    Returns:
        codes int32 (n, levels), which may still collide, and the number of colliding items after each round.
    """
    codes, history = np.array(codes, dtype=np.int32), []
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
