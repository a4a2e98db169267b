"""Tunes the weights of a fusion on validation users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...data.splits import EvalCases
from ...evaluation.metrics import candidate_ranks, ndcg_at
from ...evaluation.processes import gather_share, process_share
from ...recommender import Recommender
from .candidates import NORMALIZATIONS, normalized, part_scores, union

# What is tried for one weight while the others stay.
STEPS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
_PASSES = 3


@dataclass(frozen=True)
class FusionWeights:
    """What was chosen.

    Attributes:
        weights: float64 (groups, parts).
        normalize: how scores are made comparable.
        long_history: histories from this length on are in the second group; ``None``: there is one group.
        ndcg: NDCG@10 on the validation users.
    """

    weights: np.ndarray
    normalize: str
    long_history: int | None
    ndcg: float


class FusionCases:
    """The candidates of validation users, padded to one width.

    Args:
        parts: the recommenders.
        cases: validation users.
        num_candidates: items that each part proposes.
    """

    def __init__(self, parts: Sequence[Recommender], cases: EvalCases, num_candidates: int):
        share = process_share(len(cases))
        histories = [cases.histories[number] for number in share]
        users = cases.ids_of_users(share)
        count = min(num_candidates, len(parts[0].item_ids))
        items = union([part.rank(histories, count, user_ids=users)[0] for part in parts])
        scored = gather_share(list(zip(items, part_scores(parts, histories, items, users), strict=True)))
        self.lengths = np.array([len(cases.histories[number]) for number in range(len(cases))])
        width = max(len(rows) for rows, _ in scored)
        self.is_target = np.zeros((len(scored), width), dtype=bool)
        self.scores = {name: np.full((len(scored), len(parts), width), -np.inf) for name in NORMALIZATIONS}
        for number, (rows, scores) in enumerate(scored):
            self.is_target[number, : len(rows)] = rows == cases.targets[number]
            for name, padded in self.scores.items():
                padded[number, :, : len(rows)] = normalized(scores, scores, name)

    def ndcg(self, weights: np.ndarray, normalize: str, users: np.ndarray) -> float:
        """NDCG@10 of some users.

        Args:
            weights: float (parts,).
            normalize: how scores are made comparable.
            users: bool (n,).
        """
        weighted = np.where(weights[:, None] == 0, 0, weights[:, None] * self.scores[normalize][users]).sum(1)
        is_item = ~np.isneginf(self.scores[normalize][users][:, 0])
        return ndcg_at(candidate_ranks(np.where(is_item, weighted, -np.inf), self.is_target[users]), 10)

    def climb(self, normalize: str, users: np.ndarray) -> tuple[np.ndarray, float]:
        """Coordinate ascent from the best single part.

        Args:
            normalize: how scores are made comparable.
            users: bool (n,), whose NDCG@10 is raised.

        Returns:
            float64 (parts,), and their NDCG@10.
        """
        alone = np.eye(self.scores[normalize].shape[1])
        best = max(((weights, self.ndcg(weights, normalize, users)) for weights in alone), key=lambda each: each[1])
        for _ in range(_PASSES):
            before = best[1]
            for part in range(len(alone)):
                for step in STEPS:
                    weights = best[0].copy()
                    weights[part] = step
                    if weights.any():
                        value = self.ndcg(weights, normalize, users)
                        best = (weights, value) if value > best[1] else best
            if best[1] == before:
                break
        return best


def fit_weights(cases: FusionCases, *, normalize: str | None = None, by_history: bool = True) -> FusionWeights:
    """Choose the weights with the best NDCG@10 on validation users.

    Weights are tuned by coordinate ascent on a grid. Short and long histories, split at the median, get weights of
    their own if two-fold cross-validation shows an improvement.

    Args:
        cases: the candidates.
        normalize: ``none`` or ``zscore``; default: the better of both.
        by_history: whether two groups are tried.
    """
    everybody = np.ones(len(cases.lengths), dtype=bool)
    choices = NORMALIZATIONS if normalize is None else (normalize,)
    climbed = {name: cases.climb(name, everybody) for name in choices}
    chosen = max(climbed, key=lambda name: climbed[name][1])
    weights, ndcg = climbed[chosen]
    border = int(np.median(cases.lengths)) + 1
    groups = [cases.lengths < border, cases.lengths >= border]
    if not by_history or not all(group.sum() >= 2 for group in groups):
        return FusionWeights(weights[None], chosen, None, ndcg)
    halves = [np.arange(len(everybody)) % 2 == half for half in (0, 1)]
    together = apart = 0.0
    for half, other in (halves, halves[::-1]):
        general = cases.climb(chosen, other)[0]
        for group in groups:
            if (group & half).any() and (group & other).any():
                own, size = cases.climb(chosen, group & other)[0], int((group & half).sum())
                together += size * cases.ndcg(general, chosen, group & half)
                apart += size * cases.ndcg(own, chosen, group & half)
    if apart <= together:
        return FusionWeights(weights[None], chosen, None, ndcg)
    both = [cases.climb(chosen, group) for group in groups]
    ndcg = sum(int(group.sum()) * value for group, (_, value) in zip(groups, both, strict=True)) / len(everybody)
    return FusionWeights(np.stack([each for each, _ in both]), chosen, border, ndcg)
