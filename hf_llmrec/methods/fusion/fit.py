"""Learns the weights of a fusion on validation users."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...data.splits import EvalCases
from ...evaluation.conditional_logit import fit_conditional_logit
from ...evaluation.metrics import candidate_ranks, ndcg_at
from ...evaluation.processes import gather_share, process_share
from ...recommender import Recommender
from .candidates import normalized, part_scores, union

logger = logging.getLogger(__name__)
# With fewer users whose next item is a candidate, nothing is fitted.
MIN_CASES = 10


@dataclass(frozen=True)
class FusionWeights:
    """What was chosen. A user's weights are ``weights + length_weights * (log(1 + length) - mean_log_length)``.

    Attributes:
        weights: float64 (parts,), of the parts' normalised scores.
        length_weights: float64 (parts,), by how much they change with the length of the history; zeros: not at all.
        mean_log_length: mean of ``log(1 + length)`` of the users they were fitted on.
        ndcg: NDCG@10 on these users.
    """

    weights: np.ndarray
    length_weights: np.ndarray
    mean_log_length: float = 0.0
    ndcg: float = float("nan")

    @classmethod
    def constant(cls, weights: Sequence[float] | np.ndarray) -> FusionWeights:
        """Given weights, the same for all users.

        Args:
            weights: of the parts.
        """
        return cls(np.asarray(weights, dtype=np.float64), np.zeros(len(weights)))

    def of_users(self, lengths: np.ndarray) -> np.ndarray:
        """Float64 (n, parts), the weights of users.

        Args:
            lengths: int (n,), of their histories.
        """
        return self.weights + self.length_weights * (np.log1p(lengths) - self.mean_log_length)[:, None]


class FusionCases:
    """The candidates of validation users, padded to one width.

    Args:
        parts: the recommenders.
        cases: validation users.
        num_candidates: items that each part proposes.
        is_cold: bool (num_items,), items that are weighed apart and are no candidates; ``None``: there are none.

    Attributes:
        lengths: int (n,), of the histories.
        is_target: bool (n, width), the next item.
        scores: float64 (n, parts, width), normalised; -inf at padding.
    """

    def __init__(
        self,
        parts: Sequence[Recommender],
        cases: EvalCases,
        num_candidates: int,
        is_cold: np.ndarray | None = None,
    ):
        share = process_share(len(cases))
        histories = [cases.histories[number] for number in share]
        users = cases.ids_of_users(share)
        count = min(num_candidates, len(parts[0].item_ids))
        ranked = [part.rank(histories, count, user_ids=users) for part in parts]
        items = union([rows for rows, _ in ranked])
        if is_cold is not None:
            items = [rows[~is_cold[rows]] for rows in items]
        scores = part_scores(parts, histories, items, users, ranked=ranked)
        scored = gather_share(list(zip(items, scores, strict=True)))
        self.lengths = np.array([len(cases.histories[number]) for number in range(len(cases))])
        width = max(len(rows) for rows, _ in scored)
        self.is_target = np.zeros((len(scored), width), dtype=bool)
        self.scores = np.full((len(scored), len(parts), width), -np.inf)
        for number, (rows, scores) in enumerate(scored):
            self.is_target[number, : len(rows)] = rows == cases.targets[number]
            self.scores[number, :, : len(rows)] = normalized(scores, scores)

    def combined(self, chosen: FusionWeights) -> np.ndarray:
        """Float64 (n, width), the weighted sums; -inf at padding.

        Args:
            chosen: the weights.
        """
        is_item = ~np.isneginf(self.scores[:, 0])
        scores = np.where(is_item[:, None], self.scores, 0.0)
        return np.where(is_item, np.einsum("np,npk->nk", chosen.of_users(self.lengths), scores), -np.inf)

    def ndcg(self, combined: np.ndarray) -> float:
        """NDCG@10 of the users.

        Args:
            combined: float (n, width), scores of the candidates.
        """
        return ndcg_at(candidate_ranks(combined, self.is_target), 10)

    def fit(self, users: np.ndarray, by_history: bool) -> FusionWeights | None:
        """The weights that make the next items of some users most likely among their candidates.

        Args:
            users: bool (n,), the users.
            by_history: weights depend on the length of the history.

        Returns:
            the weights; ``None``: too few of the users have their next item among the candidates.
        """
        used = users & self.is_target.any(1)
        if used.sum() < MIN_CASES:
            return None
        lengths = np.log1p(self.lengths)
        mean = float(lengths[users].mean())
        scores = self.scores[used].transpose(0, 2, 1)
        scores = np.where(np.isneginf(scores), 0.0, scores)  # at padding, which is never chosen
        inputs = scores
        if by_history:
            inputs = np.concatenate([inputs, scores * (lengths[used] - mean)[:, None, None]], axis=2)
        # All parts are inputs, whose weights may have any sign: the scale of the scores is always positive.
        none = np.where(np.isneginf(self.scores[used][:, 0]), -np.inf, 0.0)
        _, _, weights = fit_conditional_logit(none, inputs, self.is_target[used])
        parts = scores.shape[2]
        return FusionWeights(weights[:parts], weights[parts:] if by_history else np.zeros(parts), mean)


def fit_weights(cases: FusionCases, *, by_history: bool = True) -> FusionWeights:
    """Learn the weights of the parts on validation users.

    They maximise the likelihood of the users' next items among the candidates, see `fit_conditional_logit`. Weights
    that depend on the length of the history, weights that do not, and each part alone are compared by NDCG@10, the
    fitted ones on the half of the users that they were not fitted on. With too few users, which is logged, the best
    part ranks alone.

    Args:
        cases: the candidates.
        by_history: try weights that depend on the length of the history.
    """
    count = cases.scores.shape[1]
    everybody = np.ones(len(cases.lengths), dtype=bool)
    halves = [np.arange(len(everybody)) % 2 == half for half in (0, 1)]
    alone = [FusionWeights.constant(weights) for weights in np.eye(count)]
    choices = [(cases.ndcg(cases.combined(weights)), weights) for weights in alone]
    for depends in (False, True) if by_history else (False,):
        chosen = cases.fit(everybody, depends)
        fitted = [cases.fit(half, depends) for half in halves]
        if chosen is not None and fitted[0] is not None and fitted[1] is not None:
            crossed = np.where(halves[1][:, None], cases.combined(fitted[0]), cases.combined(fitted[1]))
            choices.append((cases.ndcg(crossed), chosen))
    if len(choices) == count:
        logger.warning(
            "no weights are learned, the best part ranks alone: of each half of the validation users, at least %d must "
            "have their next item among the candidates",
            MIN_CASES,
        )
    best = max(choices, key=lambda each: each[0])[1]  # the first, which is the simpler one, of equals
    return replace(best, ndcg=cases.ndcg(cases.combined(best)))
