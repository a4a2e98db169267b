"""InfoNCE with masked negatives, and two numbers that say what became of the representations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F


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
    barred: torch.Tensor | None = None,
) -> InfoNCEOutput:
    """Cross-entropy of telling a query's positive from negatives by cosine similarity (arXiv 1807.03748).

    Args:
        queries, positives: float (n, d), pairs.
        negatives: float (m, d), the same for all queries; m may be 0.
        temperature: cosines are divided by it.
        barred: bool (n, m), negatives that are none for a query: itself, or what it is known to be joined to.

    A query of which every negative is barred has nothing to be told from, and a loss of 0.

    Raises:
        ValueError: shapes that do not fit each other, or a temperature that is not positive.

    References:
        - Representation Learning with Contrastive Predictive Coding: https://arxiv.org/abs/1807.03748
        - Momentum Contrast: https://arxiv.org/abs/1911.05722

    Example:
        ```python
        found = info_nce(user_states, item_states, queue.keys, barred=queue.ids == item_ids.unsqueeze(1))
        found.loss.backward()
        ```
    """
    if queries.shape != positives.shape or queries.dim() != 2:
        raise ValueError(f"queries and positives must be (n, d), got {tuple(queries.shape)}, {tuple(positives.shape)}")
    if negatives.dim() != 2 or negatives.shape[1] != queries.shape[1]:
        raise ValueError(f"negatives must be (m, {queries.shape[1]}), got {tuple(negatives.shape)}")
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if barred is not None and barred.shape != (len(queries), len(negatives)):
        raise ValueError(f"barred must be ({len(queries)}, {len(negatives)}), got {tuple(barred.shape)}")
    # In float32 whatever the model computes in: exponentials of cosines over a small temperature need it. Passes over
    # (n, m) cost more than the product, so there are as few as possible.
    queries, positives = F.normalize(queries.float(), dim=-1), F.normalize(positives.float(), dim=-1)
    own = (queries * positives).sum(-1) / temperature
    others = (queries / temperature) @ F.normalize(negatives.float(), dim=-1).T
    with torch.no_grad():
        total, counted = others.sum(), others.numel()
        if barred is not None:
            total, counted = total - others[barred].sum(), counted - barred.sum()
        negative = total * temperature / torch.as_tensor(counted).clamp_min(1)
    if barred is not None:
        others = others.masked_fill_(barred, -torch.inf)
    losses = torch.logaddexp(own, others.logsumexp(dim=1)) - own if len(negatives) else own * 0
    loss = losses.mean() if len(losses) else queries.sum() * 0
    similarity = own.detach().mean() * temperature if len(own) else loss.detach()
    return InfoNCEOutput(loss, similarity, negative)


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
