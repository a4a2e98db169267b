"""The best k of dense scores, with ties by place: `torch.topk` breaks ties as it likes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


def best_first(scores: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``width`` best of scores (batch, n) and their places, best first, equal ones by place."""
    # One more than wanted shows whether equal scores straddle the border, where it is a matter of who is in.
    best, place = scores.topk(min(width + 1, scores.shape[1]), dim=1)
    contested = (best[:, -1] == best[:, width - 1]) & ~torch.isneginf(best[:, -1]) & (best.shape[1] > width)
    best, place = best[:, :width].contiguous(), place[:, :width].contiguous()
    if contested.any():
        rows = scores[contested]
        border = best[contested, -1:]
        last_first = torch.arange(scores.shape[1], 0, -1, device=scores.device)
        equal = torch.where(rows == border, last_first, 0).topk(width, dim=1).indices  # by place
        above = (best[contested] > border).sum(1, keepdim=True)
        column = torch.arange(width, device=scores.device).expand_as(equal)
        filled = equal.gather(1, (column - above).clamp_min(0))
        place[contested] = torch.where(column < above, place[contested], filled)
    # Among the chosen, an ordering mends topk's ties.
    place, order = place.sort(dim=1)
    best, order = best.gather(1, order).sort(dim=1, descending=True, stable=True)
    return best, place.gather(1, order)


def rank_dense_scores(
    scores: torch.Tensor | np.ndarray,
    k: int,
    *,
    exclude: Sequence[np.ndarray] | None = None,
    allowed: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Top ``k`` of dense scores (n, num_items), ties by item order, for models that score the whole catalogue.

    ``scores`` is changed in place where items are left out. See `Ranker.rank` for the other arguments and the result.

    Raises:
        ValueError: k below 1, or a score that is no number.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    scores = torch.as_tensor(scores)
    num_items = scores.shape[1]
    if allowed is not None:
        barred = torch.ones(num_items, dtype=torch.bool)
        barred[torch.as_tensor(np.asarray(allowed, dtype=np.int64))] = False
        scores.masked_fill_(barred.to(scores.device), -torch.inf)
    if exclude is not None:
        items = np.concatenate([np.asarray(each, dtype=np.int64) for each in exclude]) if len(exclude) else []
        row = np.repeat(np.arange(len(exclude)), [len(each) for each in exclude])
        scores[torch.as_tensor(row), torch.as_tensor(items, dtype=torch.long)] = -torch.inf
    width = min(k, num_items)
    best, place = best_first(scores, width)
    if torch.isnan(best).any():
        raise ValueError("scores hold a value that is no number: training diverged, or the model is damaged")
    rows = np.full((scores.shape[0], k), -1, dtype=np.int64)
    values = np.full((scores.shape[0], k), -np.inf, dtype=np.float64)
    rows[:, :width] = place.masked_fill(torch.isneginf(best), -1).cpu().numpy()
    values[:, :width] = best.cpu().numpy()
    return rows, values
