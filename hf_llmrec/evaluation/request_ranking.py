"""Ranking for requests of several kinds and with limits of their own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data.requests import Request
from .ranker import RequestRanker


def request_times(requests: Sequence[Request]) -> np.ndarray:
    """When requests are made, and when the last interaction of each took place, see `Ranker.rank`.

    Args:
        requests: those without a time are made now.

    Returns:
        int64 (n, 2).
    """
    now = int(time.time())
    pairs = [
        (now if each.time is None else each.time, -1 if each.last_time is None else each.last_time) for each in requests
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


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
            options: dict[str, Any] = {"exclude": exclusions, "allowed": only}
            if ranker.uses_times:
                options["times"] = request_times(group)
            rows[numbers], scores[numbers] = ranker.rank(histories, k, **options)
    return rows, scores
