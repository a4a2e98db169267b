"""Fits the repeat bias: a constant correction of the log-odds of items of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logit

from ...data.splits import EvalCases
from ...evaluation.logit_intercept import fit_intercept
from ...evaluation.processes import gather_share, process_share

if TYPE_CHECKING:
    from .recommender import LCRecRecommender

# Bounds of the bias, in nats. Beyond them the order of items no longer changes.
_LARGEST = 30.0
# Probabilities are kept this far from 0 and 1.
_SMALLEST = 1e-9


def repeat_probabilities(recommender: LCRecRecommender, cases: EvalCases) -> tuple[np.ndarray, np.ndarray]:
    """Probability mass that the model gives to the items of each history, and whether the target is one of them.

    Under several processes each scores a share, and all receive the same result.

    Args:
        recommender: its ``repeat_bias`` and ``memory`` are left out.
        cases: histories and what was chosen next.

    Returns:
        the probabilities, float64 (n,), and whether the target is an item of the history, bool (n,); only of cases in
        whose prompts there is an item.
    """
    numbers = process_share(len(cases))
    histories = [cases.histories[number] for number in numbers]
    read = recommender.items_read(histories)
    with recommender.codes_alone():
        scores = recommender.score(histories, read)
    targets = cases.targets[numbers.start : numbers.stop]
    own = [
        (float(np.exp(score).sum()), bool(target in items))
        for score, items, target in zip(scores, read, targets, strict=True)
        if len(items)
    ]
    probabilities, repeats = np.array(gather_share(own), dtype=np.float64).reshape(-1, 2).T
    return probabilities, repeats.astype(bool)


def fit_bias(probabilities: np.ndarray, is_repeat: np.ndarray) -> float:
    """The bias b under which repeats are as frequent as they were: logistic regression with the model's odds as offset.

    With b added to the scores of the history's items, their share ``p`` of the probability has the log-odds
    ``logit(p) + b``. One further observation at the mean share, counted as half a repeat, keeps b finite where all or
    no users repeat.

    Args:
        probabilities: float (n,), ``p`` of each case.
        is_repeat: bool (n,), whether the next item was one of the history.

    Returns:
        b, in nats; 0 without cases.

    Example:
        ```python
        # The model gives half of the probability to the history, but nine of ten people chose from it.
        bias = fit_bias(np.full(1000, 0.5), np.arange(1000) < 900)
        assert abs(bias - np.log(9)) < 0.02
        ```
    """
    if not len(probabilities):
        return 0.0
    shares = np.clip(np.append(probabilities, probabilities.mean()), _SMALLEST, 1 - _SMALLEST)
    return fit_intercept(logit(shares), is_repeat.sum() + 0.5, _LARGEST)


def fit_repeat_bias(recommender: LCRecRecommender, cases: EvalCases) -> float:
    """Fit ``repeat_bias`` of a trained LC-Rec, in place.

    It is one number, fitted as the temperature of a calibrated classifier is: by maximum likelihood, on users whose
    next choice was not trained on.

    Args:
        recommender: trained; its ``repeat_bias`` is replaced.
        cases: validation users.

    Returns:
        the bias.
    """
    recommender.repeat_bias = fit_bias(*repeat_probabilities(recommender, cases))
    return recommender.repeat_bias
