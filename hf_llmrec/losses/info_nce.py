"""InfoNCE with masked negatives, and two numbers that say what became of the representations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

# From here on exp(-2 / temperature), the smallest term, is no zero in float32.
_SAFE_TEMPERATURE = 0.05


@dataclass
class InfoNCEOutput:
    """What `info_nce` gives.

    Attributes:
        loss: float (), mean over the queries.
        positive_similarity: float (), mean cosine of queries and their positives, without gradient.
        negative_similarity: float (), mean cosine with the negatives that count; 0 when there is none.
    """

    loss: torch.Tensor
    positive_similarity: torch.Tensor
    negative_similarity: torch.Tensor


def info_nce(
    queries: torch.Tensor,
    positives: torch.Tensor,
    negatives: torch.Tensor,
    *,
    temperature: float = 0.07,
    barred: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> InfoNCEOutput:
    """Cross-entropy of telling a query's positive from negatives by cosine similarity (arXiv 1807.03748).

    Args:
        queries, positives: float (n, d), pairs.
        negatives: float (m, d), the same for all queries; m may be 0.
        temperature: cosines are divided by it.
        barred: pairs of a query's row and a negative's, int64 (k,) each and none twice: negatives that are none for a
            query, because they are itself, or what it is known to be joined to.

    A query of which every negative is barred has nothing to be told from, and a loss of 0.

    Raises:
        ValueError: shapes that do not fit each other, or a temperature that is not positive.

    References:
        - Representation Learning with Contrastive Predictive Coding: https://arxiv.org/abs/1807.03748
        - Momentum Contrast: https://arxiv.org/abs/1911.05722

    Example:
        ```python
        keys, ids = queue.entries
        found = info_nce(user_states, item_states, keys, barred=matches(ids, known_items))
        found.loss.backward()
        ```
    """
    if queries.shape != positives.shape or queries.dim() != 2:
        raise ValueError(f"queries and positives must be (n, d), got {tuple(queries.shape)}, {tuple(positives.shape)}")
    if negatives.dim() != 2 or negatives.shape[1] != queries.shape[1]:
        raise ValueError(f"negatives must be (m, {queries.shape[1]}), got {tuple(negatives.shape)}")
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if barred is not None and barred[0].shape != barred[1].shape:
        raise ValueError(f"barred must be pairs, got {len(barred[0])} queries and {len(barred[1])} negatives")
    # In float32 whatever the model computes in: exponentials of cosines over a small temperature need it.
    queries, positives = F.normalize(queries.float(), dim=-1), F.normalize(positives.float(), dim=-1)
    negatives = F.normalize(negatives.float(), dim=-1)
    # Passes over (n, m) cost more than the product. No cosine exceeds 1, so no maximum need be looked for: 1 / T is
    # taken off everywhere, within the product.
    most = 1 / temperature
    own = ((queries * positives).sum(-1) - 1) * most
    with torch.autocast(queries.device.type, enabled=False):
        others = torch.addmm(queries.new_full((1,), -most), queries * most, negatives.T)
    with torch.no_grad():
        total, counted = others.sum(), others.numel()
        if barred is not None:
            total, counted = total - others[barred].sum(), counted - len(barred[0])
        negative = 1 + total * temperature / counted if counted else total.new_zeros(())
    if barred is not None:
        others = others.index_put_(barred, others.new_full((), -torch.inf))
    losses = torch.where(_has_negatives(others, barred), torch.logaddexp(own, _log_sum(others, temperature)) - own, 0.0)
    loss = losses.mean() if len(losses) else queries.sum() * 0
    similarity = 1 + own.detach().mean() * temperature if len(own) else loss.detach()
    return InfoNCEOutput(loss, similarity, negative)


def _log_sum(others: torch.Tensor, temperature: float) -> torch.Tensor:
    """log of the sum of exponentials of (n, m) values of at most 0, float (n,)."""
    if temperature < _SAFE_TEMPERATURE or not others.shape[1]:
        return others.logsumexp(dim=1) if others.shape[1] else others.new_full(others.shape[:1], -torch.inf)
    return others.exp().sum(1).clamp_min(torch.finfo(others.dtype).tiny).log()


def _has_negatives(others: torch.Tensor, barred: tuple[torch.Tensor, torch.Tensor] | None) -> torch.Tensor:
    """bool (n,), whether a query has a negative that counts."""
    left = torch.full(others.shape[:1], others.shape[1], device=others.device)
    return (left if barred is None else left - torch.bincount(barred[0], minlength=len(left))) > 0


def alignment(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of pairs float (n, d) on the unit sphere, float (): 0 is perfect (arXiv 2005.10242)."""
    return (F.normalize(first.float(), dim=-1) - F.normalize(second.float(), dim=-1)).square().sum(-1).mean()


def uniformity(vectors: torch.Tensor) -> torch.Tensor:
    """log of the mean Gaussian potential of all pairs of float (n, d), float (): about -4 spread out, 0 collapsed.

    See arXiv 2005.10242, section 4.1. One vector alone has no pair: 0.
    """
    if len(vectors) < 2:
        return vectors.new_zeros((), dtype=torch.float32)
    distances = torch.pdist(F.normalize(vectors.float(), dim=-1))
    return distances.square().mul(-2).exp().mean().log()
