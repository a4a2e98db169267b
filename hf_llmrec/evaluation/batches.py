"""Ranking and scoring in batches, with the model in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch a model to evaluation mode inside the block, and back to its former mode afterwards.

    Args:
        model: the model.
    """
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def rank_in_batches(
    rank_batch: Callable[..., tuple[np.ndarray, np.ndarray]],
    lengths: Sequence[int],
    k: int,
    batch_size: int,
    exclude: Sequence[np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Rank cases in batches of similar length, which need little padding.

    Args:
        rank_batch: called with the numbers of some cases, int64 (m,), and the items to exclude for each (or ``None``);
            returns their item rows and scores, (m, k).
        lengths: length of each case's sequence.
        k: how many items to return per case.
        batch_size: cases ranked at once.
        exclude: per case int64 item rows that must not be returned.

    Returns:
        item rows int64 and scores float64, (n, k), in the order of the cases.
    """
    rows = np.full((len(lengths), k), -1, dtype=np.int64)
    scores = np.full((len(lengths), k), -np.inf, dtype=np.float64)
    for batch in by_length(lengths, batch_size):
        excluded = None if exclude is None else [exclude[number] for number in batch]
        rows[batch], scores[batch] = rank_batch(batch, excluded)
    return rows, scores


def score_in_batches(
    score_batch: Callable[[np.ndarray], torch.Tensor],
    lengths: Sequence[int],
    candidates: Sequence[np.ndarray],
    batch_size: int,
) -> list[np.ndarray]:
    """Scores of candidates, for models that score the entire catalogue.

    Args:
        score_batch: called with the numbers of some cases, int64 (m,); returns float (m, num_items).
        lengths: length of each case's sequence.
        candidates: per case, int64 item rows.
        batch_size: cases scored at once.

    Returns:
        per case float64, a score per candidate.
    """
    scores = [np.zeros(0)] * len(lengths)
    for batch in by_length(lengths, batch_size):
        dense = score_batch(batch)
        for place, number in enumerate(batch):
            chosen = torch.from_numpy(candidates[number]).to(dense.device)
            scores[number] = dense[place, chosen].double().cpu().numpy()
    return scores


def by_length(lengths: Sequence[int], batch_size: int) -> Iterator[np.ndarray]:
    """Batches of case numbers, int64 (at most batch_size,), with cases of similar length together.

    Args:
        lengths: length of each case's sequence.
        batch_size: cases in a batch.
    """
    order = np.argsort(np.array(lengths, dtype=np.int64), kind="stable")
    return (order[start : start + batch_size] for start in range(0, len(order), batch_size))
