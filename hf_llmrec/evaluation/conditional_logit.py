"""Conditional logit: which items were chosen among candidates, explained by a model's scores and further inputs."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

# Penalty of the squared numbers, per case.
_L2 = 1e-4


def fit_conditional_logit(
    scores: np.ndarray, inputs: np.ndarray, is_target: np.ndarray, gaps: np.ndarray | None = None
) -> tuple[float, float, np.ndarray]:
    """Maximise the likelihood of targets, ``softmax(scale * exp(gap_scale * gaps) * scores + inputs @ weights)``.

    Args:
        scores: float (n, k), of the candidates of each case; -inf at padding, which is never chosen.
        inputs: float (n, k, m), further inputs of the candidates.
        is_target: bool (n, k), the one candidate of each case that was chosen.
        gaps: float (n, 1), a number of each case that changes the scale; default: the scale is the same for all.

    Returns:
        ``scale``, positive; ``gap_scale``, 0 without gaps; ``weights``, float64 (m,).
    """
    is_item = np.isfinite(scores)
    scores = np.where(is_item, scores, 0.0)  # padding is multiplied by the scale before it is left out
    # Methods score in units of their own.
    unit = max(float(np.std(scores, axis=1, where=is_item).mean()), 1e-9)
    moving = np.zeros((len(scores), 1)) if gaps is None else gaps

    def loss(numbers: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = np.exp(numbers[0] + moving * numbers[1]) * scores / unit
        logits = np.where(is_item, scaled + inputs @ numbers[2:], -np.inf)
        logits = logits - logits.max(axis=1, keepdims=True)
        total = np.exp(logits).sum(axis=1, keepdims=True)
        surplus = is_target - np.exp(logits) / total
        likelihood = (logits[is_target] - np.log(total[:, 0])).mean()
        by_scale = (surplus * scaled).sum(axis=1, keepdims=True)
        by_input = np.einsum("nk,nkm->m", surplus, inputs)
        slope = np.concatenate([[by_scale.sum(), (by_scale * moving).sum()], by_input]) / len(scores)
        return _L2 * float(numbers @ numbers) - likelihood, 2 * _L2 * numbers - slope

    # The bounds keep exponentials of useless scores finite.
    bounds = [(-5.0, 5.0), (-1.0, 1.0), *[(None, None)] * inputs.shape[2]]
    numbers = minimize(loss, np.zeros(2 + inputs.shape[2]), jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(np.exp(numbers[0]) / unit), float(numbers[1]), numbers[2:]
