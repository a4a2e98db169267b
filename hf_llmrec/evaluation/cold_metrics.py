"""Metrics of the cases whose item was held out, and of the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from .evaluator import EvaluationResult
from .metrics import metric_columns


def cold_and_warm(result: EvaluationResult, is_cold: np.ndarray) -> dict[str, dict[str, Any]]:
    """Metrics of cold and warm cases.

    Args:
        result: of all cases.
        is_cold: bool (n,), the cases whose target is a held-out item.

    Returns:
        under ``cold`` and ``warm`` the metrics of ``result`` on these cases, ``None`` if there are none, and
        ``num_users``.
    """
    groups = {}
    for name, mask in (("cold", is_cold), ("warm", ~is_cold)):
        values = {
            metric: float(result.per_user(metric)[mask].mean()) if mask.any() else None
            for metric in metric_columns(result.metrics)
        }
        groups[name] = {**values, "num_users": int(mask.sum())}
    return groups
