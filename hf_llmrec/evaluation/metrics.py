"""Ranking metrics as pure functions of the rank of one relevant item per user; `relevance` has those of several.

With one held-out item per user (leave-one-out), HR@k is Recall@k, the ideal DCG is 1, so that NDCG@k of a hit at
0-based rank r is ``1 / log2(r + 2)``, and average precision is the reciprocal rank ``1 / (r + 1)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

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


def _require_users(ranks: np.ndarray) -> np.ndarray:
    """``ranks`` as an array; a mean over no user is an error, not 0."""
    ranks = np.asarray(ranks)
    if not ranks.size:
        raise ValueError("there is no user to evaluate: a ranking metric needs at least one")
    return ranks


def _mean_gain(ranks: np.ndarray, k: int, gain: Callable[[np.ndarray], np.ndarray]) -> float:
    """Mean over users of ``gain`` at the 0-based rank of a target among the first ``k``, 0 for others."""
    ranks = _require_users(ranks)
    inside = (ranks >= 0) & (ranks < k)
    return float(np.where(inside, gain(np.maximum(ranks, 0)), 0.0).mean())


def hit_rate_at(ranks: np.ndarray, k: int) -> float:
    """Share of users whose target is among the first ``k``.

    Args:
        ranks: int (n,), 0-based, -1 for a miss; of rankings of at least ``k`` items.
        k: cut-off.

    Raises:
        ValueError: no user.
    """
    ranks = _require_users(ranks)
    return float(((ranks >= 0) & (ranks < k)).mean())


def ndcg_at(ranks: np.ndarray, k: int) -> float:
    """Mean NDCG@k with one relevant item per user.

    Args:
        ranks: int (n,), 0-based, -1 for a miss; of rankings of at least ``k`` items.
        k: cut-off.

    Raises:
        ValueError: no user.
    """
    return _mean_gain(ranks, k, lambda places: 1.0 / np.log2(places + 2.0))


def mrr_at(ranks: np.ndarray, k: int) -> float:
    """Mean reciprocal rank of the targets among the first ``k``, 0 for others; with one relevant item also MAP@k.

    Args:
        ranks: int (n,), 0-based, -1 for a miss; of rankings of at least ``k`` items.
        k: cut-off.

    Raises:
        ValueError: no user.
    """
    return _mean_gain(ranks, k, lambda places: 1.0 / (places + 1.0))


def check_cutoffs(ks: Sequence[int]) -> tuple[int, ...]:
    """Cut-offs in ascending order, each once.

    Args:
        ks: cut-offs.

    Raises:
        ValueError: one is not an integer of at least 1.
    """
    wrong = [k for k in ks if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1]
    if wrong:
        raise ValueError(f"ks must be integers of at least 1, got {wrong[0]!r}")
    return tuple(sorted({int(k) for k in ks}))


def ranking_metrics(ranks: np.ndarray, depth: int = MAX_CUTOFF, ks: Sequence[int] = ()) -> dict[str, float | int]:
    """``hit_rate@1``, ``hit_rate@5``, ``hit_rate@10``, ``ndcg@5``, ``ndcg@10``, ``num_users``, and further cut-offs.

    Args:
        ranks: int (n,), 0-based, -1 for a miss.
        depth: length of the rankings. Metrics with a larger cut-off are left out: what is missing in the first 10 items
            may be among the first 20.
        ks: further cut-offs, for which ``hit_rate@k``, ``ndcg@k``, ``mrr@k`` and ``map@k`` are given.

    Raises:
        ValueError: no user, or a cut-off below 1.
    """
    result: dict[str, float | int] = {f"hit_rate@{k}": hit_rate_at(ranks, k) for k in HIT_RATE_CUTOFFS if k <= depth}
    result.update({f"ndcg@{k}": ndcg_at(ranks, k) for k in NDCG_CUTOFFS if k <= depth})
    for k in check_cutoffs(ks):
        if k <= depth:
            reciprocal = mrr_at(ranks, k)
            result |= {f"hit_rate@{k}": hit_rate_at(ranks, k), f"ndcg@{k}": ndcg_at(ranks, k)}
            result |= {f"mrr@{k}": reciprocal, f"map@{k}": reciprocal}
    result["num_users"] = int(np.asarray(ranks).size)
    return result


def parse_metric(metric: str, names: Sequence[str], depth: int) -> tuple[str, int]:
    """Name and cut-off of a metric such as ``ndcg@10``.

    Args:
        metric: what was asked for.
        names: which metrics there are.
        depth: length of the rankings.

    Raises:
        ValueError: another name, or a cut-off beyond the end of the rankings.
    """
    name, _, cutoff = metric.partition("@")
    if name not in names or not cutoff.isdigit():
        raise ValueError(f"unknown metric {metric!r}; use {', '.join(f'{each}@k' for each in names)}")
    if not 1 <= int(cutoff) <= depth:
        raise ValueError(
            f"{metric} cannot be computed from rankings of {depth} items: the cut-off must lie in 1..{depth}"
        )
    return name, int(cutoff)


def candidate_ranks(scores: np.ndarray, is_target: np.ndarray) -> np.ndarray:
    """0-based rank of every user's target among scored candidates, int64 (n,); -1 where it is no candidate.

    Args:
        scores: float (n, width), -inf at padding.
        is_target: bool (n, width), at most one per user.
    """
    own = np.where(is_target, scores, -np.inf).max(1, initial=-np.inf)
    return np.where(np.isneginf(own), -1, (scores > own[:, None]).sum(1))


def metric_values(ranks: np.ndarray, metric: str, depth: int = MAX_CUTOFF) -> np.ndarray:
    """Contribution of every user to a metric, float64 (n,): its mean is the metric.

    Args:
        ranks: int (n,), 0-based, -1 for a miss.
        metric: ``hit_rate``, ``ndcg``, ``mrr`` or ``map`` with a cut-off, such as ``ndcg@10``.
        depth: length of the rankings that the ranks come from.

    Raises:
        ValueError: another metric, or a cut-off above ``depth``.
    """
    functions = {"hit_rate": hit_rate_at, "ndcg": ndcg_at, "mrr": mrr_at, "map": mrr_at}
    name, k = parse_metric(metric, tuple(functions), depth)
    by_rank = np.array([functions[name](np.array([rank]), k) for rank in range(-1, k)])
    ranks = np.asarray(ranks)
    return by_rank[np.where(ranks < k, ranks, -1) + 1]


def metric_columns(metrics: Mapping[str, Any]) -> list[str]:
    """Names of the metrics among some values, the default ones first.

    Args:
        metrics: result of `ranking_metrics` or `Relevance.metrics`, possibly with other values.
    """
    further = [name for name in metrics if name.partition("@")[0] in ("hit_rate", "recall", "ndcg", "mrr", "map")]
    return [*METRIC_NAMES, *(name for name in further if name not in METRIC_NAMES)]
