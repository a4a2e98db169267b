"""Metrics beyond accuracy: novelty, popularity bias, diversity and coverage, as RecTools defines them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..data.graph import InteractionGraph
from ..data.splits import RecSplit
from .metrics import check_cutoffs


def beyond_accuracy(
    item_rows: np.ndarray,
    split: RecSplit,
    num_items: int,
    *,
    vectors: np.ndarray | None = None,
    ks: Sequence[int] = (10,),
) -> dict[str, float]:
    """Means over users who are recommended something, ``NAME@k`` for each cut-off.

    - ``novelty``: mean over the first k items of ``-log2(users who chose it / users)``; an item that nobody chose
      counts as chosen by one (mean inverse user frequency).
    - ``popularity``: mean over the first k items of their share of the training interactions (average recommendation
      popularity, normalised); of a model with popularity bias it is high.
    - ``diversity``: mean over pairs of the first k items of ``1 - cosine`` of their vectors; 0 for a user without a
      pair (intra-list diversity).
    - ``coverage``: share of the catalogue that is among the first k items of somebody.

    Args:
        item_rows: int (n, k), item rows, best first, -1 as padding; `EvaluationResult.item_rows`.
        split: its training interactions are what users chose.
        num_items: of the catalogue.
        vectors: float (num_items, d), such as `embed_items` gives; ``None``: no diversity is given.
        ks: cut-offs, at most the length of the rankings.

    Raises:
        ValueError: a cut-off that is none, or beyond the end of the rankings; nobody is recommended anything; vectors
            of another number of items.

    Example:
        ```python
        result = recommender.evaluate(split.test)
        beyond_accuracy(result.item_rows, split, dataset.num_items, vectors=embed_items(dataset))
        ```
    """
    rows = np.asarray(item_rows)
    cutoffs = check_cutoffs(ks)
    if cutoffs and cutoffs[-1] > rows.shape[1]:
        raise ValueError(f"ks: {cutoffs[-1]} is beyond the end of rankings of {rows.shape[1]} items")
    if not (rows >= 0).any():
        raise ValueError("nobody is recommended anything")
    if vectors is not None and len(vectors) != num_items:
        raise ValueError(f"vectors: {len(vectors)} for {num_items} items")
    graph = InteractionGraph.from_split(split, num_items)
    users = np.count_nonzero(graph.user_items.degrees)
    novelty = -np.log2(np.maximum(graph.item_users.degrees, 1) / users)
    popularity = np.bincount(split.train_indices, minlength=num_items) / len(split.train_indices)
    metrics: dict[str, float] = {}
    for k in cutoffs:
        top = rows[:, :k]
        top = top[(top >= 0).any(axis=1)]
        metrics[f"novelty@{k}"] = _mean(novelty, top)
        metrics[f"popularity@{k}"] = _mean(popularity, top)
        if vectors is not None:
            metrics[f"diversity@{k}"] = _diversity(np.asarray(vectors, dtype=np.float64), top)
        metrics[f"coverage@{k}"] = len(np.unique(top[top >= 0])) / num_items
    return metrics


def _mean(values: np.ndarray, top: np.ndarray) -> float:
    """Mean over users of the mean over their items."""
    is_item = top >= 0
    return float((np.where(is_item, values[top], 0.0).sum(axis=1) / is_item.sum(axis=1)).mean())


def _diversity(vectors: np.ndarray, top: np.ndarray, users_at_once: int = 4096) -> float:
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    total = 0.0
    for start in range(0, len(top), users_at_once):
        part = top[start : start + users_at_once]
        is_item = part >= 0
        chosen = np.where(is_item[:, :, None], unit[part], 0.0)
        count = is_item.sum(axis=1)
        # The sum of all vectors, squared, holds each pair twice, and each item with itself.
        similar = (chosen.sum(axis=1) ** 2).sum(axis=1) - (chosen**2).sum(axis=(1, 2))
        ordered_pairs = count * (count - 1)
        mean = similar / np.maximum(ordered_pairs, 1)
        total += np.where(ordered_pairs > 0, 1.0 - mean, 0.0).sum()
    return float(total / len(top))
