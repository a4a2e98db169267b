"""Sinkhorn-Knopp: soft assignments with equal mass on every code (arXiv 2311.09049, section 3.2.2).

Stands beside the RQ-VAE, and not in `hf_llmrec.indexing`, because it travels to the Hub with the model's code.
"""

from __future__ import annotations

import math

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
        of the kind that was given, float64 (n, k): rows sum to 1, columns (nearly) to n / k.

    Raises:
        ValueError: epsilon is not positive, or a distance is not finite.
    """
    if epsilon <= 0:
        raise ValueError(f"epsilon must be positive, got {epsilon}")
    tensor = torch.as_tensor(distances)
    if not torch.isfinite(tensor).all():
        raise ValueError("distances hold values that are not finite")
    logits = -center_distances(tensor.double()) / epsilon
    plan = _scaled(logits, iterations)
    # Potentials add up over iterations, so even kernels that fit into float64 can leave its range: then by logarithms.
    if not torch.isfinite(plan).all():
        plan = _logarithmic(logits, iterations)
    return plan if isinstance(distances, torch.Tensor) else plan.numpy()


def _scaled(logits: torch.Tensor, iterations: int) -> torch.Tensor:
    """Row and column factors of ``exp(logits)``: two matrix-vector products an iteration, no exponentials."""
    points, codes = logits.shape
    kernel = logits.exp()
    rows = kernel.new_ones(points)
    columns = kernel.new_ones(codes)
    for _ in range(iterations):
        columns = (points / codes) / (kernel.T @ rows)
        rows = 1 / (kernel @ columns)
    return rows[:, None] * kernel * columns


def _logarithmic(logits: torch.Tensor, iterations: int) -> torch.Tensor:
    """The same in the log domain: slower by an exponential per entry, and cannot underflow."""
    target = math.log(logits.shape[0] / logits.shape[1])
    for _ in range(iterations):
        logits = logits - torch.logsumexp(logits, dim=0, keepdim=True) + target
        logits = logits - torch.logsumexp(logits, dim=1, keepdim=True)
    return logits.exp()
