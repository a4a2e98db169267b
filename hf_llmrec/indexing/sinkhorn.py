"""Sinkhorn-Knopp: soft assignments with equal mass on every code (arXiv 2311.09049, section 3.2.2)."""

from __future__ import annotations

import numpy as np
import torch


def center_distances(distances: torch.Tensor) -> torch.Tensor:
    """Shift and scale to [-1, 1] (largest and smallest), so that epsilon means the same for every data set."""
    high, low = distances.max(), distances.min()
    return (distances - (high + low) / 2) / ((high - low) / 2).clamp_min(1e-12)


@torch.no_grad()
def sinkhorn(distances, epsilon: float = 0.003, iterations: int = 50):
    """Balanced assignment of n points to k codes.

    Args:
        distances: float (n, k), tensor or array. Centred to [-1, 1] here.
        epsilon: entropy; the smaller, the harder the assignment.
        iterations: alternating normalisations of columns and rows.

    Returns:
        of the kind that was given, float64 (n, k): rows sum to 1, columns (nearly) to n / k. In the log domain, since
        ``exp(-d / 0.003)`` would underflow.
    """
    tensor = torch.as_tensor(distances)
    log_plan = -center_distances(tensor.double()) / epsilon
    points, codes = log_plan.shape
    target = float(np.log(points / codes))
    for _ in range(iterations):
        log_plan = log_plan - torch.logsumexp(log_plan, dim=0, keepdim=True) + target
        log_plan = log_plan - torch.logsumexp(log_plan, dim=1, keepdim=True)
    plan = log_plan.exp()
    return plan if isinstance(distances, torch.Tensor) else plan.numpy()
