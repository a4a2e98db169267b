"""The items that several recommenders propose, with the score of each of them for every item."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...recommender import Recommender

# How the scores of a part are made comparable: as they are, or by their mean and deviation over the user's candidates.
NORMALIZATIONS = ("none", "zscore")


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
) -> list[np.ndarray]:
    """Score items by every part.

    Args:
        parts: the recommenders.
        histories: n int arrays of item rows, oldest first.
        items: n int arrays of item rows.
        user_ids: n ids, for parts that know users; ``None``: nobody is known.
        times: int64 (n,) or (n, 2), of the requests, see `Ranker.rank`; ``None``: not known.

    Returns:
        n float64 arrays (parts, number of items).
    """
    by_part = [part.score(histories, items, user_ids=user_ids, times=times) for part in parts]
    return [np.stack([scores[number] for scores in by_part]).astype(np.float64) for number in range(len(histories))]


def normalized(scores: np.ndarray, among: np.ndarray, normalize: str) -> np.ndarray:
    """Make the scores of different parts comparable.

    Args:
        scores: float (parts, items).
        among: float (parts, m), the scores of the user's candidates, by which means and deviations are taken.
        normalize: ``none`` or ``zscore``.

    Returns:
        float (parts, items).
    """
    if normalize == "none" or not among.shape[1]:
        return scores
    mean, deviation = among.mean(1, keepdims=True), among.std(1, keepdims=True)
    return (scores - mean) / np.where(deviation > 0, deviation, 1.0)
