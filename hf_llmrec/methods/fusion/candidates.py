"""The items that several recommenders propose, with the score of each of them for every item."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...recommender import Recommender


def union(lists: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Unite the rankings of each user.

    Args:
        lists: per part int (n, k), item rows, padded with -1.

    Returns:
        n int64 arrays, sorted, each item once.
    """
    rows = np.concatenate(lists, axis=1)
    return [np.unique(each[each >= 0]) for each in rows]


def part_scores(
    parts: Sequence[Recommender],
    histories: Sequence[np.ndarray],
    items: Sequence[np.ndarray],
    user_ids: Sequence[str] | None = None,
    times: np.ndarray | None = None,
    ranked: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
) -> list[np.ndarray]:
    """Score items by every part.

    Args:
        parts: the recommenders.
        histories: n int arrays of item rows, oldest first.
        items: n int arrays of item rows, sorted, each item once.
        user_ids: n ids, for parts that know users; ``None``: nobody is known.
        times: int64 (n,) or (n, 2), of the requests, see `Ranker.rank`; ``None``: not known.
        ranked: per part what its `Recommender.rank` returned for the same requests: these scores are not computed
            again.

    Returns:
        n float64 arrays (parts, number of items).
    """
    by_part = []
    for number, part in enumerate(parts):
        rows, values = (np.zeros((len(histories), 0)),) * 2 if ranked is None else ranked[number]
        missing = [np.setdiff1d(own, row) for own, row in zip(items, rows, strict=True)]
        scored = part.score(histories, missing, user_ids=user_ids, times=times)
        by_part.append([_merged(*each) for each in zip(items, missing, scored, rows, values, strict=True)])
    return [np.stack([scores[number] for scores in by_part]) for number in range(len(histories))]


def _merged(
    items: np.ndarray, missing: np.ndarray, scored: np.ndarray, rows: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Float64 scores of ``items``: of those in ``missing`` from ``scored``, of the others from a ranking."""
    scores = np.empty(len(items))
    scores[np.searchsorted(items, missing)] = scored
    there = np.isin(rows, items)
    scores[np.searchsorted(items, rows[there])] = values[there]
    return scores


def normalized(scores: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Make the scores of different parts comparable: their means are subtracted, and they are divided by deviations.

    Args:
        scores: float (parts, items).
        among: float (parts, m), the scores of the user's candidates, over which means and deviations are taken.

    Returns:
        float (parts, items).
    """
    if not among.shape[1]:
        return scores
    mean, deviation = among.mean(1, keepdims=True), among.std(1, keepdims=True)
    return (scores - mean) / np.where(deviation > 0, deviation, 1.0)
