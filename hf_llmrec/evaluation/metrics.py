"""Ranking metrics as pure functions of the rank of one relevant item per user.

With one held-out item per user (leave-one-out), HR@k is Recall@k, and the ideal DCG is 1, so NDCG@k of a hit at
0-based rank r is ``1 / log2(r + 2)``.
"""

from __future__ import annotations

import numpy as np

HIT_RATE_CUTOFFS = (1, 5, 10)
NDCG_CUTOFFS = (5, 10)
MAX_CUTOFF = max(*HIT_RATE_CUTOFFS, *NDCG_CUTOFFS)
METRIC_NAMES = (*(f"hit_rate@{k}" for k in HIT_RATE_CUTOFFS), *(f"ndcg@{k}" for k in NDCG_CUTOFFS))


def target_ranks(item_rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """0-based position of each target in its ranking.

    Args:
        item_rows: int (n, k), best first, -1 as padding. A row never names an item twice.
        targets: int (n,), the item row that counts as a hit.

    Returns:
        int64 (n,), -1 where the target is not among the k.

    Raises:
        ValueError: shapes do not match, a target is negative, or a ranking holds an item twice.
    """
    item_rows = np.asarray(item_rows, dtype=np.int64)
    targets = np.asarray(targets, dtype=np.int64)
    if item_rows.ndim != 2 or targets.shape != (item_rows.shape[0],):
        raise ValueError(f"item_rows must be (n, k) and targets (n,); got {item_rows.shape} and {targets.shape}")
    if targets.size and targets.min() < 0:
        raise ValueError("targets must be item rows (>= 0)")
    hits = item_rows == targets[:, None]
    if (hits.sum(axis=1) > 1).any():
        bad = int(np.flatnonzero(hits.sum(axis=1) > 1)[0])
        raise ValueError(f"ranking {bad} names item row {int(targets[bad])} more than once")
    return np.where(hits.any(axis=1), hits.argmax(axis=1), -1).astype(np.int64)


def _some(ranks: np.ndarray) -> np.ndarray:
    """``ranks`` as an array; a mean over no user is an error, not 0."""
    ranks = np.asarray(ranks)
    if not ranks.size:
        raise ValueError("there is no user to evaluate: a ranking metric needs at least one")
    return ranks


def hit_rate_at(ranks: np.ndarray, k: int) -> float:
    """Share of users whose target is among the first ``k``.

    Args:
        ranks: int (n,), 0-based, -1 for a miss; of rankings of at least ``k`` items.
        k: cut-off.

    Raises:
        ValueError: no user.
    """
    ranks = _some(ranks)
    return float(((ranks >= 0) & (ranks < k)).mean())


def ndcg_at(ranks: np.ndarray, k: int) -> float:
    """Mean NDCG@k with one relevant item per user.

    Args:
        ranks: int (n,), 0-based, -1 for a miss; of rankings of at least ``k`` items.
        k: cut-off.

    Raises:
        ValueError: no user.
    """
    ranks = _some(ranks)
    inside = (ranks >= 0) & (ranks < k)
    return float(np.where(inside, 1.0 / np.log2(np.maximum(ranks, 0) + 2.0), 0.0).mean())


def ranking_metrics(ranks: np.ndarray, depth: int = MAX_CUTOFF) -> dict[str, float | int]:
    """``{"hit_rate@1", "hit_rate@5", "hit_rate@10", "ndcg@5", "ndcg@10", "num_users"}``.

    Args:
        ranks: int (n,), 0-based, -1 for a miss.
        depth: length of the rankings that they come from. Metrics with a larger cut-off are left out: what lies beyond
            the end of a ranking is not known.

    Raises:
        ValueError: no user.
    """
    result: dict[str, float | int] = {f"hit_rate@{k}": hit_rate_at(ranks, k) for k in HIT_RATE_CUTOFFS if k <= depth}
    result.update({f"ndcg@{k}": ndcg_at(ranks, k) for k in NDCG_CUTOFFS if k <= depth})
    result["num_users"] = int(np.asarray(ranks).size)
    return result
