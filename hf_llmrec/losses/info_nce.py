"""InfoNCE with masked negatives, and the alignment and uniformity of representations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

# From this temperature on, the smallest term, exp(-2 / temperature), does not underflow to 0 in float32.
_SAFE_TEMPERATURE = 0.05


@dataclass
class InfoNCEOutput:
    """Output of `info_nce`.

    Attributes:
        loss: float (), mean over the queries.
        positive_similarity: float (), mean cosine between queries and their positives, without gradient.
        negative_similarity: float (), mean cosine between queries and the negatives that are not excluded, without
            gradient; 0 if there are none.
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
    excluded: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> InfoNCEOutput:
    """Cross-entropy of identifying each query's positive among negatives by cosine similarity (arXiv 1807.03748).

    A query whose negatives are all excluded has a loss of 0.

    Args:
        queries: float (n, d).
        positives: float (n, d), row i is the positive of query i.
        negatives: float (m, d), shared by all queries; m may be 0.
        temperature: cosines are divided by it; positive.
        excluded: pairs (query rows, negative rows), int64 (k,) each and without duplicates, that are left out of the
            loss: false negatives, such as the query's own entity and those linked to it. ``None``: no pair is left out.

    Returns:
        The loss and the mean similarities.

    Raises:
        ValueError: shapes that do not match, or a temperature that is not positive.

    References:
        - Representation Learning with Contrastive Predictive Coding: https://arxiv.org/abs/1807.03748
        - Momentum Contrast: https://arxiv.org/abs/1911.05722

    Example:
        ```python
        keys, ids = queue.entries
        output = info_nce(user_states, item_states, keys, excluded=matches(ids, user_items))
        output.loss.backward()
        ```
    """
    if queries.shape != positives.shape or queries.dim() != 2:
        raise ValueError(f"queries and positives must be (n, d), got {tuple(queries.shape)}, {tuple(positives.shape)}")
    if negatives.dim() != 2 or negatives.shape[1] != queries.shape[1]:
        raise ValueError(f"negatives must be (m, {queries.shape[1]}), got {tuple(negatives.shape)}")
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if excluded is not None and excluded[0].shape != excluded[1].shape:
        raise ValueError(f"excluded must be pairs, got {len(excluded[0])} queries and {len(excluded[1])} negatives")
    # In float32 whatever dtype the model computes in: exp(cosine / temperature) needs the precision.
    queries, positives = F.normalize(queries.float(), dim=-1), F.normalize(positives.float(), dim=-1)
    negatives = F.normalize(negatives.float(), dim=-1)
    # Passes over (n, m) cost more than the matrix product. A cosine is at most 1, so there is no need to search for the
    # maximum: the constant 1 / T is subtracted everywhere, inside the product.
    most = 1 / temperature
    own = ((queries * positives).sum(-1) - 1) * most
    with torch.autocast(queries.device.type, enabled=False):
        others = torch.addmm(queries.new_full((1,), -most), queries * most, negatives.T)
    with torch.no_grad():
        total, counted = others.sum(), others.numel()
        if excluded is not None:
            total, counted = total - others[excluded].sum(), counted - len(excluded[0])
        negative = 1 + total * temperature / counted if counted else total.new_zeros(())
    if excluded is not None:
        others = others.index_put_(excluded, others.new_full((), -torch.inf))
    terms = torch.logaddexp(own, _log_sum(others, temperature)) - own
    losses = torch.where(_has_negatives(others, excluded), terms, 0.0)
    loss = losses.mean() if len(losses) else queries.sum() * 0
    similarity = 1 + own.detach().mean() * temperature if len(own) else loss.detach()
    return InfoNCEOutput(loss, similarity, negative)


def _log_sum(others: torch.Tensor, temperature: float) -> torch.Tensor:
    """Log of the sum of exponentials of each row of values (n, m) that are at most 0, float (n,)."""
    if temperature < _SAFE_TEMPERATURE or not others.shape[1]:
        return others.logsumexp(dim=1) if others.shape[1] else others.new_full(others.shape[:1], -torch.inf)
    return others.exp().sum(1).clamp_min(torch.finfo(others.dtype).tiny).log()


def _has_negatives(others: torch.Tensor, excluded: tuple[torch.Tensor, torch.Tensor] | None) -> torch.Tensor:
    """Whether each query has a negative that is not excluded, bool (n,)."""
    left = torch.full(others.shape[:1], others.shape[1], device=others.device)
    return (left if excluded is None else left - torch.bincount(excluded[0], minlength=len(left))) > 0


def alignment(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Mean squared distance between the vectors of each pair on the unit sphere (arXiv 2005.10242).

    Args:
        first: float (n, d).
        second: float (n, d), paired with ``first`` row by row.

    Returns:
        float (); 0 is perfect, 4 the largest value.
    """
    return (F.normalize(first.float(), dim=-1) - F.normalize(second.float(), dim=-1)).square().sum(-1).mean()


def uniformity(vectors: torch.Tensor) -> torch.Tensor:
    """Log of the mean Gaussian potential over all pairs of vectors (arXiv 2005.10242, section 4.1).

    Args:
        vectors: float (n, d); brought to unit length.

    Returns:
        float (); about -4 for vectors that cover the sphere evenly, 0 for collapsed ones or fewer than two vectors.
    """
    if len(vectors) < 2:
        return vectors.new_zeros((), dtype=torch.float32)
    distances = torch.pdist(F.normalize(vectors.float(), dim=-1))
    return distances.square().mul(-2).exp().mean().log()
