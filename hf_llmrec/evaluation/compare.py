"""Comparison of several models on the same cases: paired bootstrap intervals and groups of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.interactions import RecDataset
from ..data.splits import EvalCases, RecSplit
from .evaluator import EvaluationResult
from .metrics import check_cutoffs
from .transitions import NOTES as TRANSITION_NOTES
from .transitions import transition_groups

# Items that make up this share of the catalogue, the most frequent first, are the head.
HEAD_SHARE = 0.2
HELD_OUT_NOTES = {
    "held-out item": "the next item is one of --cold_items, with which nobody has interacted before the test",
    "warm item": "the next item is not one of those",
}


@dataclass(frozen=True)
class Difference:
    """A paired difference of two models in one metric.

    Attributes:
        value: mean over users of the second model's value minus the first model's.
        low: lower end of its 95 % bootstrap interval.
        high: upper end of the interval.
    """

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` if the interval excludes 0, otherwise ``unclear``."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "unclear"

    def to_dict(self) -> dict[str, Any]:
        """JSON form, with the verdict."""
        return {"difference": self.value, "low": self.low, "high": self.high, "verdict": self.verdict}


def paired_bootstrap(
    first: np.ndarray, second: np.ndarray, *, samples: int = 10_000, level: float = 0.95, seed: int = 0
) -> Difference:
    """Percentile interval of ``mean(second - first)`` when users are resampled with replacement.

    Args:
        first: float (n,), each user's contribution to a metric under the first model, see
            `EvaluationResult.per_user`.
        second: float (n,), those of the same users under the second model.
        samples: number of bootstrap samples.
        level: coverage of the interval, in (0, 1).
        seed: of the resampling.

    Raises:
        ValueError: different numbers of users, or none.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape or not first.size:
        raise ValueError(f"both models need values of the same users, got {first.shape} and {second.shape}")
    # Differences of ranking metrics take few distinct values: drawing users amounts to drawing their counts.
    values, counts = np.unique(second - first, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(first.size, counts / first.size, size=samples)
    low, high = np.quantile(drawn @ values / first.size, [(1 - level) / 2, (1 + level) / 2])
    return Difference(float((second - first).mean()), float(low), float(high))


@dataclass(frozen=True)
class Groups:
    """Groups of cases, which may overlap.

    Attributes:
        masks: per name bool (n,), the cases of the group.
        notes: per name its definition on this dataset.
    """

    masks: dict[str, np.ndarray]
    notes: dict[str, str]


def case_groups(dataset: RecDataset, split: RecSplit, cases: EvalCases) -> Groups:
    """Head and tail by the popularity of the target, short and long histories, cold targets, and known transitions.

    Args:
        dataset: the dataset that was split.
        split: its training interactions define popularity and transitions, see `transition_groups`.
        cases: the cases to group; with several relevant items per user the first one counts.
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
        **transition_groups(split, cases, dataset.num_items),
    }
    if split.is_cold is not None:
        held_out = split.is_cold[cases.targets]
        masks |= {"held-out item": held_out, "warm item": ~held_out}
    notes = {
        "head": f"the next item is among the {size} ({HEAD_SHARE:.0%}) most frequent in training",
        "tail": "the next item is not among those",
        "short history": f"at most {middle} items before it (the median)",
        "long history": f"more than {middle} items before it",
        "cold item": "the next item has no training interaction",
        **TRANSITION_NOTES,
        **({} if split.is_cold is None else HELD_OUT_NOTES),
    }
    return Groups(masks, notes)


def compare_results(
    results: Mapping[str, EvaluationResult],
    groups: Groups,
    *,
    ks: Sequence[int] = (),
    samples: int = 10_000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Metrics of every model, overall and per group, and its differences to every other model.

    Args:
        results: per model its result of `evaluate_ranker`, on the same cases with rankings of at least 10 items.
        groups: see `case_groups`.
        ks: further cut-offs, at which differences in HR and NDCG are given, too.
        samples: number of bootstrap samples.
        seed: of the resampling.

    Returns:
        per model ``metrics``; ``groups`` (NDCG@10 and HR@10, ``None`` for an empty group, the number of users, and
        ``against``: per other model the `Difference` in NDCG@10 on the group);
        ``interval`` of its NDCG@10; and ``against``: per other model and metric (HR@10, NDCG@10) the `Difference` of
        this model minus the other one.

    Raises:
        ValueError: a cut-off below 1 or beyond the end of the rankings.
    """
    metrics = ("hit_rate@10", "ndcg@10")
    metrics += tuple(f"{name}@{k}" for k in check_cutoffs(ks) if k != 10 for name in ("hit_rate", "ndcg"))
    values = {name: {metric: result.per_user(metric) for metric in metrics} for name, result in results.items()}
    comparison: dict[str, dict[str, Any]] = {}
    for name, own in values.items():
        ndcg = own["ndcg@10"]
        interval = paired_bootstrap(np.zeros_like(ndcg), ndcg, samples=samples, seed=seed)
        comparison[name] = {
            "metrics": dict(results[name].metrics),
            "groups": {
                group: _group_metrics(own, mask)
                | {
                    "against": {
                        other: paired_bootstrap(
                            theirs["ndcg@10"][mask], ndcg[mask], samples=samples, seed=seed
                        ).to_dict()
                        for other, theirs in values.items()
                        if other != name and mask.any()
                    }
                }
                for group, mask in groups.masks.items()
            },
            "interval": {"ndcg@10": [interval.low, interval.high]},
            "against": {
                other: {
                    metric: paired_bootstrap(theirs[metric], own[metric], samples=samples, seed=seed).to_dict()
                    for metric in metrics
                }
                for other, theirs in values.items()
                if other != name
            },
        }
    return comparison


def _group_metrics(values: Mapping[str, np.ndarray], mask: np.ndarray) -> dict[str, Any]:
    means = {
        metric: float(values[metric][mask].mean()) if mask.any() else None for metric in ("hit_rate@10", "ndcg@10")
    }
    return {**means, "num_users": int(mask.sum())}


def in_words(comparison: Mapping[str, Mapping[str, Any]], baselines: set[str]) -> list[str]:
    """One sentence per model that is no baseline: which baselines it beats in NDCG@10, and which it does not.

    Args:
        comparison: result of `compare_results`.
        baselines: names of the models that are baselines.
    """
    sentences = []
    for name, model in comparison.items():
        if name in baselines or not baselines & set(model["against"]):
            continue
        verdicts: dict[str, list[str]] = {"better": [], "worse": [], "unclear": []}
        for other, differences in model["against"].items():
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


def best_by_group(comparison: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One sentence per group of cases: the model with the best NDCG@10, and which others it is clearly ahead of.

    Args:
        comparison: result of `compare_results`; of a single model nothing is said.
    """
    if len(comparison) < 2:
        return []
    sentences = []
    for group, sizes in next(iter(comparison.values()))["groups"].items():
        if not sizes["num_users"]:
            continue
        best = max(comparison, key=lambda name: comparison[name]["groups"][group]["ndcg@10"])
        own = comparison[best]["groups"][group]
        if not own["ndcg@10"]:
            sentences.append(f"{group}: no model finds any.")
            continue
        ahead = [other for other, difference in own["against"].items() if difference["verdict"] == "better"]
        level = [other for other in own["against"] if other not in ahead]
        parts = [f"better than {_list(ahead)}"] if ahead else []
        parts += [f"not clearly better than {_list(level)}"] if level else []
        sentences.append(f"{group}: {best} is best ({own['ndcg@10']:.4f}), {'; '.join(parts)}.")
    return sentences


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
