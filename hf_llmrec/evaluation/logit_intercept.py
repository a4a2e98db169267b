"""The intercept of a logistic regression whose other terms are given."""

from __future__ import annotations

from typing import cast

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit


def fit_intercept(offsets: np.ndarray, expected: float, largest: float) -> float:
    """The number that, added to log-odds, makes their probabilities sum to what was observed.

    Args:
        offsets: float (n,), log-odds.
        expected: number of events.
        largest: bound of the result, which it has if all or none were events.

    Returns:
        the intercept, in nats.
    """

    def surplus(intercept: float) -> float:
        return float(expit(offsets + intercept).sum() - expected)

    if surplus(-largest) >= 0 or surplus(largest) <= 0:
        return -largest if surplus(0.0) > 0 else largest
    return float(cast(float, brentq(surplus, -largest, largest)))
