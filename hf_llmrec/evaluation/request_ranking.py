"""Ranking for requests of several kinds and with limits of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..data.requests import Request
from .ranker import RequestRanker


def rank_requests(
    ranker: RequestRanker,
    requests: Sequence[Request],
    k: int,
    exclude: np.ndarray | None = None,
    allowed: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """`Ranker.rank` of requests in item rows, each with limits of its own beside those of the call.

    Args:
        ranker: the recommender.
        requests: of `RequestReader.read`.
        k: how many items, at least 1.
        exclude: int64 item rows that nobody is recommended, sorted.
        allowed: int64 item rows that may be recommended, sorted; empty: none.

    Returns:
        item rows int64 (n, k) and scores float (n, k), as of `Ranker.rank`.
    """
    limited = [request.limited(exclude, allowed) for request in requests]
    # What is ranked at once has one set of allowed items, and is all wishes or all histories.
    groups: dict[tuple[bool, bytes | None], list[int]] = {}
    for number, request in enumerate(limited):
        key = (bool(request.query), None if request.allowed is None else request.allowed.tobytes())
        groups.setdefault(key, []).append(number)
    rows = np.full((len(limited), k), -1, dtype=np.int64)
    scores = np.full((len(limited), k), -np.inf)
    nothing = np.zeros(0, dtype=np.int64)
    for (is_query, _), numbers in groups.items():
        group = [limited[number] for number in numbers]
        histories = [request.history for request in group]
        excluded = [nothing if request.exclude is None else request.exclude for request in group]
        exclusions, only = excluded if any(map(len, excluded)) else None, group[0].allowed
        if is_query:
            queries = [request.query or "" for request in group]
            rows[numbers], scores[numbers] = ranker.rank_queries(
                histories, queries, k, exclude=exclusions, allowed=only
            )
        else:
            rows[numbers], scores[numbers] = ranker.rank(histories, k, exclude=exclusions, allowed=only)
    return rows, scores
