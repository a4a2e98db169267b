"""Top k of dense scores with ties in item order, which `torch.topk` does not guarantee."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


def best_first(scores: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Top ``width`` scores of each row, best first, ties in order of place.

    Args:
        scores: float (batch, n).
        width: how many, at most n.

    Returns:
        the scores and their int64 places, (batch, width).
    """
    # One candidate more shows whether equal scores straddle the cut-off: only then topk may have picked the wrong ones.
    best, place = scores.topk(min(width + 1, scores.shape[1]), dim=1)
    tied_at_border = (best[:, -1] == best[:, width - 1]) & ~torch.isneginf(best[:, -1]) & (best.shape[1] > width)
    best, place = best[:, :width].contiguous(), place[:, :width].contiguous()
    if tied_at_border.any():
        rows = scores[tied_at_border]
        border = best[tied_at_border, -1:]
        last_first = torch.arange(scores.shape[1], 0, -1, device=scores.device)
        equal = torch.where(rows == border, last_first, 0).topk(width, dim=1).indices  # by place
        above = (best[tied_at_border] > border).sum(1, keepdim=True)
        column = torch.arange(width, device=scores.device).expand_as(equal)
        filled = equal.gather(1, (column - above).clamp_min(0))
        place[tied_at_border] = torch.where(column < above, place[tied_at_border], filled)
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

    Args:
        scores: float (n, num_items), higher is better; changed in place where items are masked.
        k: how many items to return, at least 1.
        exclude: n int arrays of item rows that must not be returned.
        allowed: int array of the only item rows that may be returned; empty: none.

    Returns:
        item rows int64 (n, k), padded with -1, and scores float64 (n, k), -inf at padding.

    Raises:
        ValueError: k below 1, or a score that is no number.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    scores = torch.as_tensor(scores)
    num_items = scores.shape[1]
    if allowed is not None:
        masked = torch.ones(num_items, dtype=torch.bool)
        masked[torch.as_tensor(np.asarray(allowed, dtype=np.int64))] = False
        scores.masked_fill_(masked.to(scores.device), -torch.inf)
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
