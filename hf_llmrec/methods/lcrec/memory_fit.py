"""Fits LC-Rec's memory on validation users, together with the repeat bias that belongs to it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from ...data.co_occurrence import CoOccurrence
from ...data.splits import EvalCases, RecSplit
from ...evaluation.metrics import candidate_ranks, ndcg_at
from ...evaluation.processes import gather_share, process_share
from .memory import LCRecMemory, without_history
from .repeat_bias import fit_bias

if TYPE_CHECKING:
    from .recommender import LCRecRecommender

# How similarities are summed: chosen by their own ranking, before the model's scores are looked at.
SIMILARITIES = {"shrinkage": (0.0, 5.0, 20.0), "decay": (0.3, 0.5, 0.7, 0.85, 1.0)}
# What is added to the model's scores.
ADDITIONS = {"weight": (0.25, 0.5, 1.0, 2.0, 4.0), "scale": (0.003, 0.01, 0.03, 0.1, 0.3)}
# NDCG@10 is that of a re-ranked candidate set: the model's best items, and as many of the most similar ones.
CANDIDATES = 50


def fit_memory(
    recommender: LCRecRecommender,
    split: RecSplit,
    cases: EvalCases,
    *,
    num_neighbors: int = 200,
    min_users: int = 1,
    learn_repeat_bias: bool = True,
) -> list[dict[str, float]]:
    """Give a trained LC-Rec the memory with the best NDCG@10 on validation users, in place; none if none is better.

    Under several processes each ranks a share of the users, and all choose the same.

    Args:
        recommender: trained; its ``memory`` and, with ``learn_repeat_bias``, its ``repeat_bias`` are replaced.
        split: its training interactions are counted.
        cases: validation users.
        num_neighbors: neighbours that are kept per item.
        min_users: pairs of items that fewer users have in common are not kept.
        learn_repeat_bias: also fit ``recommender.repeat_bias``, for rankings without memory, and
            ``memory.repeat_bias``, which is added to it with memory; see `fit_bias`.

    Returns:
        one dictionary per trial with ``weight`` (0: no memory), ``scale``, ``repeat_bias`` and ``ndcg@10``.
    """
    histories = [cases.histories[number] for number in range(len(cases))]
    options = {"num_neighbors": num_neighbors, "min_users": min_users}
    counted, decay, scores = _best_similarities(split, histories, cases.targets, len(recommender.item_ids), options)
    candidates = _Candidates.collect(recommender, histories, cases.targets, scores)
    bias = None if learn_repeat_bias else recommender.repeat_bias
    pairs = [(0.0, 1.0), *itertools.product(ADDITIONS["weight"], ADDITIONS["scale"])]
    trials = [candidates.trial(weight, scale, bias) for weight, scale in pairs]
    best = max(trials, key=lambda trial: trial["ndcg@10"])  # the first of equal ones
    recommender.repeat_bias, recommender.memory = trials[0]["repeat_bias"], None
    if best["weight"]:
        more = best["repeat_bias"] - recommender.repeat_bias
        recommender.memory = LCRecMemory(counted, best["weight"], best["scale"], decay, more)
    return trials


def _best_similarities(
    split: RecSplit, histories: list[np.ndarray], targets: np.ndarray, num_items: int, options: dict[str, int]
) -> tuple[CoOccurrence, float, csr_matrix]:
    """The co-occurrences and decay whose own ranking is best, and the similarities to the histories."""
    best: tuple[float, CoOccurrence, float, csr_matrix] | None = None
    for shrinkage in SIMILARITIES["shrinkage"]:
        counted = CoOccurrence.from_split(split, num_items, shrinkage=shrinkage, **options)
        for decay in SIMILARITIES["decay"]:
            scores = without_history(counted.scores(histories, decay), histories)
            own = np.asarray(scores[np.arange(len(targets)), targets]).ravel()
            owner = np.repeat(np.arange(len(targets)), np.diff(scores.indptr))
            above = np.bincount(owner[scores.data > own[owner]], minlength=len(targets))
            ndcg = ndcg_at(np.where(own > 0, above, -1), 10)
            if best is None or ndcg > best[0]:
                best = ndcg, counted, decay, scores
    assert best is not None  # the grid is not empty
    return best[1:]


class _Candidates:
    """The items that compete for the first places of each user, padded to one width.

    Args:
        scores: float (n, width), the model's own scores; -inf at padding.
        similarities: float (n, width), of the co-occurrences; 0 for items of the history.
        is_read: bool (n, width), items of the history that the model reads.
        is_target: bool (n, width), the item that was chosen.
    """

    def __init__(self, scores: np.ndarray, similarities: np.ndarray, is_read: np.ndarray, is_target: np.ndarray):
        self.scores, self.similarities, self.is_read, self.is_target = scores, similarities, is_read, is_target

    @classmethod
    def collect(
        cls, recommender: LCRecRecommender, histories: list[np.ndarray], targets: np.ndarray, similarities: csr_matrix
    ) -> _Candidates:
        """Rank and score with the model alone, each process a share of the users."""
        numbers = process_share(len(histories))
        own = [histories[number] for number in numbers]
        with recommender.codes_alone():
            ranked, _ = recommender.rank(own, min(CANDIDATES, len(recommender.item_ids)))
            read = recommender.items_read(own)
            items = []
            for number, rows, items_read in zip(numbers, ranked, read, strict=True):
                near = similarities[number]
                nearest = near.indices[np.argsort(-near.data, kind="stable")[:CANDIDATES]]
                items.append(np.unique(np.concatenate([rows[rows >= 0], nearest, items_read])))
            scores = recommender.score(own, items)
        parts = gather_share(list(zip(items, scores, read, strict=True)))
        width = max((len(rows) for rows, _, _ in parts), default=0)
        padded = np.full((len(parts), width), -np.inf), np.zeros((len(parts), width))
        is_read, is_target = (np.zeros((len(parts), width), dtype=bool) for _ in range(2))
        for number, (rows, values, items_read) in enumerate(parts):
            place = slice(0, len(rows))
            padded[0][number, place] = values
            padded[1][number, place] = similarities[number].toarray()[0, rows]
            is_read[number, place] = np.isin(rows, items_read)
            is_target[number, place] = rows == targets[number]
        return cls(*padded, is_read, is_target)

    def trial(self, weight: float, scale: float, bias: float | None) -> dict[str, float]:
        """NDCG@10 with a memory of these numbers, and the bias that belongs to it, unless that is given."""
        scores = self.scores + weight * np.log1p(self.similarities / scale)
        if bias is None:
            has_read = np.any(self.is_read, axis=1)
            masses = np.exp(scores)
            # Items that are no candidates keep what the model gives them; they have no similarity to speak of.
            total = np.maximum(1 - np.exp(self.scores).sum(1), 0) + masses.sum(1)
            shares = np.where(self.is_read, masses, 0).sum(1) / np.maximum(total, np.finfo(float).tiny)
            is_repeat = np.any(self.is_read & self.is_target, axis=1)
            bias = fit_bias(shares[has_read], is_repeat[has_read])
        scores = scores + bias * self.is_read
        ndcg = ndcg_at(candidate_ranks(scores, self.is_target), 10)
        return {"weight": weight, "scale": scale, "repeat_bias": bias, "ndcg@10": ndcg}
