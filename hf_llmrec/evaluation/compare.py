"""Several models on the same cases: groups of users, and what of a difference is more than chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.interactions import RecDataset
from ..data.splits import EvalCases, RecSplit
from .metrics import MAX_CUTOFF, METRIC_NAMES, hit_rate_at, ndcg_at, ranking_metrics

# Items that make up this share of the catalogue, the most frequent first, are the head.
HEAD_SHARE = 0.2


def metric_values(ranks: np.ndarray, metric: str, depth: int = MAX_CUTOFF) -> np.ndarray:
    """What every user adds to a metric, float64 (n,): its mean is the metric.

    Args:
        ranks: int (n,), 0-based, -1 for a miss.
        metric: a name such as ``hit_rate@5`` or ``ndcg@10``.
        depth: length of the rankings that the ranks come from.

    Raises:
        ValueError: an unknown metric, or a cut-off above ``depth``.
    """
    name, _, cutoff = metric.partition("@")
    functions: dict[str, Callable[[np.ndarray, int], float]] = {"hit_rate": hit_rate_at, "ndcg": ndcg_at}
    if name not in functions or not cutoff.isdigit():
        raise ValueError(f"unknown metric {metric!r}; known are {METRIC_NAMES}")
    k = int(cutoff)
    if not 1 <= k <= depth:
        raise ValueError(
            f"{metric} cannot be computed from rankings of {depth} items: the cut-off must lie in 1..{depth}"
        )
    by_rank = np.array([functions[name](np.array([rank]), k) for rank in range(-1, k)])
    ranks = np.asarray(ranks)
    return by_rank[np.where(ranks < k, ranks, -1) + 1]


@dataclass(frozen=True)
class Difference:
    """A paired difference of two models in one metric.

    Attributes:
        value: mean over users of the second's minus the first's. low, high: its 95 % bootstrap interval.
    """

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` or ``unclear``: whether the interval leaves out 0."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "unclear"

    def to_dict(self) -> dict[str, Any]:
        """JSON form, with the verdict."""
        return {"difference": self.value, "low": self.low, "high": self.high, "verdict": self.verdict}


def paired_bootstrap(
    first: np.ndarray, second: np.ndarray, *, samples: int = 10_000, level: float = 0.95, seed: int = 0
) -> Difference:
    """Percentile interval of ``mean(second - first)`` when users are drawn anew, with repeats.

    Args:
        first, second: float (n,), what each user adds to the metric under each model; the same users in both.
        samples: bootstrap samples. level: of the interval. seed: fixes the samples.

    Raises:
        ValueError: different numbers of users, or none.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape or not first.size:
        raise ValueError(f"both models need values of the same users, got {first.shape} and {second.shape}")
    # Differences of ranking metrics take few values. To draw users is to draw how often each value occurs.
    values, counts = np.unique(second - first, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(first.size, counts / first.size, size=samples)
    low, high = np.quantile(drawn @ values / first.size, [(1 - level) / 2, (1 + level) / 2])
    return Difference(float((second - first).mean()), float(low), float(high))


@dataclass(frozen=True)
class Groups:
    """Which cases belong to which group.

    Attributes:
        masks: bool (n,) by name. notes: what each name means on this dataset.
    """

    masks: dict[str, np.ndarray]
    notes: dict[str, str]


def case_groups(dataset: RecDataset, split: RecSplit, cases: EvalCases) -> Groups:
    """Head and tail by the popularity of the target, short and long histories, and cold targets.

    Popularity is counted in training interactions only.
    """
    counts = np.bincount(split.train_indices, minlength=dataset.num_items)
    head = np.zeros(dataset.num_items, dtype=bool)
    size = max(round(HEAD_SHARE * dataset.num_items), 1)
    head[np.argsort(-counts, kind="stable")[:size]] = True
    lengths = np.array([len(cases.histories[i]) for i in range(len(cases))])
    middle = int(np.median(lengths)) if len(lengths) else 0
    in_head, cold = head[cases.targets], counts[cases.targets] == 0
    masks = {
        "head": in_head,
        "tail": ~in_head,
        "short history": lengths <= middle,
        "long history": lengths > middle,
        "cold item": cold,
    }
    notes = {
        "head": f"the next item is among the {size} ({HEAD_SHARE:.0%}) most frequent in training",
        "tail": "the next item is not among those",
        "short history": f"at most {middle} items before it (the median)",
        "long history": f"more than {middle} items before it",
        "cold item": "the next item has no training interaction",
    }
    return Groups(masks, notes)


def compare_ranks(
    ranks: Mapping[str, np.ndarray], groups: Groups, *, samples: int = 10_000, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Metrics of every model, per group, and its differences to every other model.

    Args:
        ranks: per model int (n,), 0-based rank of every case's target, -1 for a miss; the same cases in all.
        groups: see `case_groups`.

    Returns:
        per model ``metrics``; ``groups`` (NDCG@10 and HR@10, ``None`` where nobody is in the group, and number of
        users); ``interval`` of its NDCG@10; and ``against``, per other model and metric (HR@10, NDCG@10) a `Difference`
        of this model minus the other.
    """
    metrics = ("hit_rate@10", "ndcg@10")
    values = {name: {metric: metric_values(own, metric) for metric in metrics} for name, own in ranks.items()}
    result: dict[str, dict[str, Any]] = {}
    for name, own in ranks.items():
        grouped = {
            group: {
                "hit_rate@10": hit_rate_at(own[mask], 10) if mask.any() else None,
                "ndcg@10": ndcg_at(own[mask], 10) if mask.any() else None,
                "num_users": int(mask.sum()),
            }
            for group, mask in groups.masks.items()
        }
        ndcg = values[name]["ndcg@10"]
        interval = paired_bootstrap(np.zeros_like(ndcg), ndcg, samples=samples, seed=seed)
        against = {
            other: {
                metric: paired_bootstrap(theirs[metric], values[name][metric], samples=samples, seed=seed).to_dict()
                for metric in metrics
            }
            for other, theirs in values.items()
            if other != name
        }
        result[name] = {
            "metrics": ranking_metrics(own),
            "groups": grouped,
            "interval": {"ndcg@10": [interval.low, interval.high]},
            "against": against,
        }
    return result


def in_words(comparison: Mapping[str, Mapping[str, Any]], baselines: set[str]) -> list[str]:
    """One sentence per model that is no baseline: which baselines it beats in NDCG@10, and which it does not."""
    sentences = []
    for name, found in comparison.items():
        if name in baselines or not baselines & set(found["against"]):
            continue
        verdicts: dict[str, list[str]] = {"better": [], "worse": [], "unclear": []}
        for other, differences in found["against"].items():
            if other in baselines:
                verdicts[differences["ndcg@10"]["verdict"]].append(other)
        parts = []
        if verdicts["better"]:
            parts.append(f"beats {_list(verdicts['better'])}")
        if verdicts["worse"]:
            parts.append(f"DOES NOT BEAT {_list(verdicts['worse'])}: it is worse")
        if verdicts["unclear"]:
            parts.append(f"DOES NOT BEAT {_list(verdicts['unclear'])}: the difference may be chance")
        sentences.append(f"{name} {'; it '.join(parts)} (NDCG@10, 95 % paired bootstrap).")
    return sentences


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
