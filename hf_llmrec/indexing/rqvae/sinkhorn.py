"""Sinkhorn-Knopp: soft assignments with equal mass on every code (arXiv 2311.09049, section 3.2.2).

This module is next to the RQ-VAE instead of in `hf_llmrec.indexing` because it is published with the model's code.
"""

from __future__ import annotations

import math
from typing import overload

import numpy as np
import torch


def center_distances(distances: torch.Tensor) -> torch.Tensor:
    """Shift and scale the distances so that they range from -1 to 1, which makes epsilon comparable between data sets.

    Args:
        distances: float, any shape.
    """
    high, low = distances.max(), distances.min()
    return (distances - (high + low) / 2) / ((high - low) / 2).clamp_min(1e-12)


@overload
def sinkhorn(distances: torch.Tensor, epsilon: float = ..., iterations: int = ...) -> torch.Tensor: ...


@overload
def sinkhorn(distances: np.ndarray, epsilon: float = ..., iterations: int = ...) -> np.ndarray: ...


@torch.no_grad()
def sinkhorn(
    distances: torch.Tensor | np.ndarray, epsilon: float = 0.003, iterations: int = 50
) -> torch.Tensor | np.ndarray:
    """Balanced assignment of n points to k codes.

    Args:
        distances: float (n, k), tensor or array; rescaled by `center_distances`.
        epsilon: entropy; smaller values give harder assignments.
        iterations: number of alternating normalisations of columns and rows.

    Returns:
        float64 (n, k), tensor or array like ``distances``: rows sum to 1, columns (nearly) to n / k.

    Raises:
        ValueError: ``epsilon`` is not positive, or a distance is not finite.
    """
    if epsilon <= 0:
        raise ValueError(f"epsilon must be positive, got {epsilon}")
    tensor = torch.as_tensor(distances)
    if not torch.isfinite(tensor).all():
        raise ValueError("distances hold values that are not finite")
    logits = -center_distances(tensor.double()) / epsilon
    plan = _scaled(logits, iterations)
    # The factors grow over the iterations and can exceed float64's range even if the kernel does not: then use the
    # log domain.
    if not torch.isfinite(plan).all():
        plan = _logarithmic(logits, iterations)
    return plan if isinstance(distances, torch.Tensor) else plan.numpy()


def _scaled(logits: torch.Tensor, iterations: int) -> torch.Tensor:
    """Scale the rows and columns of ``exp(logits)``: two matrix-vector products per iteration, no exponentials."""
    points, codes = logits.shape
    kernel = logits.exp()
    rows = kernel.new_ones(points)
    columns = kernel.new_ones(codes)
    for _ in range(iterations):
        columns = (points / codes) / (kernel.T @ rows)
        rows = 1 / (kernel @ columns)
    return rows[:, None] * kernel * columns


def _logarithmic(logits: torch.Tensor, iterations: int) -> torch.Tensor:
    """The same in the log domain: slower, with one exponential per entry and iteration, but without underflow."""
    target = math.log(logits.shape[0] / logits.shape[1])
    for _ in range(iterations):
        logits = logits - torch.logsumexp(logits, dim=0, keepdim=True) + target
        logits = logits - torch.logsumexp(logits, dim=1, keepdim=True)
    return logits.exp()
