"""Fits LC-Rec's memory on validation users, together with the repeat bias that belongs to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from ...data.co_occurrence import CoOccurrence
from ...data.splits import EvalCases, RecSplit
from ...evaluation.conditional_logit import fit_conditional_logit
from ...evaluation.metrics import candidate_ranks, ndcg_at
from ...evaluation.processes import gather_share, process_share
from ...evaluation.ranker import check_same_items
from .memory import LCRecMemory, MemoryTerm
from .repeat_bias import fit_bias

if TYPE_CHECKING:
    from .recommender import LCRecRecommender

# What is summed; the weights are fitted. Transitions from the last item, and from all items of the history.
TERMS = (
    MemoryTerm("co_occurrence", decay=0.3, scale=0.1, weight=0.0),
    MemoryTerm("co_occurrence", decay=0.85, scale=0.1, weight=0.0),
    MemoryTerm("transitions", decay=0.0, scale=0.03, weight=0.0),
    MemoryTerm("transitions", decay=0.5, scale=0.03, weight=0.0),
)
# The model's best items, and as many of those with the largest sum of the terms, are candidates of each user.
CANDIDATES = 50
# With fewer users whose next item is a candidate, nothing is fitted.
MIN_CASES = 10


def fit_memory(
    recommender: LCRecRecommender,
    split: RecSplit,
    cases: EvalCases,
    *,
    num_neighbors: int = 200,
    min_users: int = 1,
    learn_repeat_bias: bool = True,
) -> dict[str, float]:
    """Give a trained LC-Rec a memory, in place; none if NDCG@10 on the validation users is not better with it.

    The weights of `TERMS` maximise the likelihood of the users' next items among their candidates, see
    `fit_conditional_logit`; they are divided by the scale that the same fit gives to the model's own scores. Under
    several processes each ranks a share of the users, and all fit the same.

    Args:
        recommender: trained; its ``memory`` and, with ``learn_repeat_bias``, its ``repeat_bias`` are replaced.
        split: its training interactions are counted.
        cases: validation users.
        num_neighbors: neighbours that are kept per item in each table.
        min_users: pairs of items that fewer users have in common are not kept.
        learn_repeat_bias: also fit ``recommender.repeat_bias``, for rankings without memory, and
            ``memory.repeat_bias``, which is added to it with memory; see `fit_bias`.

    Returns:
        on the candidates: ``ndcg@10`` with the memory and ``without`` it, and the ``repeat_bias`` of both
        (``repeat_bias_without``).

    Raises:
        ValueError: a catalogue other than the dataset's.
    """
    check_same_items(recommender, cases)
    histories = [cases.histories[number] for number in range(len(cases))]
    options = {"num_neighbors": num_neighbors, "min_users": min_users}
    num_items = len(recommender.item_ids)
    memory = LCRecMemory(
        CoOccurrence.from_split(split, num_items, **options),
        CoOccurrence.from_transitions(split, num_items, **options),
        TERMS,
    )
    logarithms = [memory.logarithm(term, histories) for term in TERMS]
    candidates = _Candidates.collect(recommender, histories, cases.targets, logarithms)
    bias = None if learn_repeat_bias else recommender.repeat_bias
    plain = candidates.trial(np.zeros(len(TERMS)), bias)
    weights = candidates.weights(plain["repeat_bias"])
    report = candidates.trial(weights, bias)
    report |= {"without": plain["ndcg@10"], "repeat_bias_without": plain["repeat_bias"]}
    recommender.repeat_bias, recommender.memory = plain["repeat_bias"], None
    if report["ndcg@10"] > report["without"]:
        terms = (replace(term, weight=float(weight)) for term, weight in zip(TERMS, weights, strict=True))
        more = report["repeat_bias"] - recommender.repeat_bias
        recommender.memory = replace(memory, terms=tuple(terms), repeat_bias=more)
    return report


class _Candidates:
    """The items that compete for the first places of each user, padded to one width.

    Args:
        scores: float (n, width), the model's own scores; -inf at padding.
        logarithms: float (n, width, terms), what the weights multiply; 0 for items of the history.
        is_read: bool (n, width), items of the history that the model reads.
        is_target: bool (n, width), the item that was chosen.
    """

    def __init__(self, scores: np.ndarray, logarithms: np.ndarray, is_read: np.ndarray, is_target: np.ndarray):
        self.scores, self.logarithms, self.is_read, self.is_target = scores, logarithms, is_read, is_target

    @classmethod
    def collect(
        cls,
        recommender: LCRecRecommender,
        histories: list[np.ndarray],
        targets: np.ndarray,
        logarithms: Sequence[csr_matrix],
    ) -> _Candidates:
        """Rank and score with the model alone, each process a share of the users."""
        numbers = process_share(len(histories))
        own = [histories[number] for number in numbers]
        proposed = csr_matrix(sum(logarithms[1:], logarithms[0]))
        with recommender.codes_alone():
            ranked, _ = recommender.rank(own, min(CANDIDATES, len(recommender.item_ids)))
            read = recommender.items_read(own)
            items = []
            for number, rows, items_read in zip(numbers, ranked, read, strict=True):
                place = slice(proposed.indptr[number], proposed.indptr[number + 1])
                best = np.argsort(-np.asarray(proposed.data[place], dtype=np.float64), kind="stable")[:CANDIDATES]
                items.append(np.unique(np.concatenate([rows[rows >= 0], proposed.indices[place][best], items_read])))
            scores = recommender.score(own, items)
        parts = gather_share(list(zip(items, scores, read, strict=True)))
        width = max((len(rows) for rows, _, _ in parts), default=0)
        padded = np.full((len(parts), width), -np.inf), np.zeros((len(parts), width, len(logarithms)))
        is_read, is_target = (np.zeros((len(parts), width), dtype=bool) for _ in range(2))
        for number, (rows, values, items_read) in enumerate(parts):
            place = slice(0, len(rows))
            padded[0][number, place] = values
            for column, logarithm in enumerate(logarithms):
                padded[1][number, place, column] = logarithm[number, rows].toarray()[0]
            is_read[number, place] = np.isin(rows, items_read)
            is_target[number, place] = rows == targets[number]
        return cls(*padded, is_read, is_target)

    def weights(self, bias: float) -> np.ndarray:
        """The weights that make the targets most likely, in the unit of the model's scores.

        Args:
            bias: of the items that the model reads.
        """
        cases = self.is_target.any(axis=1)
        if cases.sum() < MIN_CASES:
            return np.zeros(len(TERMS))
        scores = self.scores[cases] + bias * self.is_read[cases]
        inputs = np.concatenate([self.logarithms[cases], self.is_read[cases][:, :, None]], axis=2)
        scale, _, weights = fit_conditional_logit(scores, inputs, self.is_target[cases])
        return weights[:-1] / scale  # the last one is that of items of the history, whose bias is fitted by itself

    def trial(self, weights: np.ndarray, bias: float | None) -> dict[str, float]:
        """NDCG@10 with a memory of these weights, and the bias that belongs to it, unless that is given."""
        scores = self.scores + self.logarithms @ weights
        if bias is None:
            has_read = np.any(self.is_read, axis=1)
            masses = np.exp(scores)
            # Items that are no candidates keep what the model gives them; they have no similarity to speak of.
            total = np.maximum(1 - np.exp(self.scores).sum(1), 0) + masses.sum(1)
            shares = np.where(self.is_read, masses, 0).sum(1) / np.maximum(total, np.finfo(float).tiny)
            is_repeat = np.any(self.is_read & self.is_target, axis=1)
            bias = fit_bias(shares[has_read], is_repeat[has_read])
        scores = scores + bias * self.is_read
        return {"repeat_bias": bias, "ndcg@10": ndcg_at(candidate_ranks(scores, self.is_target), 10)}
