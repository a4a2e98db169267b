"""Fits the weights of time features on validation users, whose requests have times."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.item_activity import ItemActivity
from ..data.splits import EvalCases, RecSplit
from ..data.time_features import FEATURES, TimeFeatures, item_features, log_gaps, standard_gaps
from .conditional_logit import fit_conditional_logit
from .metrics import candidate_ranks, ndcg_at
from .processes import gather_share, process_share
from .ranker import RequestRanker, check_same_items

# With fewer cases whose target the model ranks at all, nothing is fitted.
MIN_CASES = 50


def fit_time_features(
    ranker: RequestRanker, split: RecSplit, cases: EvalCases, *, num_candidates: int = 200
) -> dict[str, Any]:
    """Give a trained recommender the time features with the largest likelihood on validation users, in place.

    The next item is drawn from the model's best ``num_candidates`` items with probabilities ``softmax(scale * score +
    weights @ features)``, where scale and weights depend on the days since the user's last interaction, see
    [`TimeFeatures`]. Users whose next item is not among these items tell nothing about their order. If NDCG@10 is not
    better with the features, the recommender gets none. Under several processes each ranks a share of the users, and
    all choose the same.

    Args:
        ranker: the recommender; its ``time_features`` are replaced.
        split: its training interactions are counted.
        cases: validation users with times.
        num_candidates: number of items per user.

    Returns:
        ``ndcg@10`` on the users with the features, ``without`` them, and the number of ``cases`` that were fitted.

    Raises:
        ValueError: the dataset has no times; no case, or a catalogue other than the dataset's; a fusion, whose parts
            may have time features.
    """
    check_same_items(ranker, cases)
    if not ranker.supports_time_features:
        raise ValueError(f"a {ranker.method} has no time features of its own: fit those of its parts")
    activity = ItemActivity.from_split(split, len(ranker.item_ids))
    if not len(cases):
        raise ValueError("there is no validation user to fit time features on")
    if cases.request_times is None:
        raise ValueError("time features are fitted on cases with times; the dataset has no timestamp column")
    ranker.time_features = None
    rows, scores, features = _candidates(ranker, activity, cases, num_candidates)
    is_target = rows == cases.targets[:, None]
    plain = ndcg_at(candidate_ranks(scores, is_target), 10)
    gaps = log_gaps(cases.request_times)
    has_target = is_target.any(axis=1)
    report = {"ndcg@10": plain, "without": plain, "cases": int(has_target.sum())}
    if has_target.sum() < MIN_CASES:
        return report
    stated = gaps[np.isfinite(gaps)]
    mean, std = (float(stated.mean()), max(float(stated.std()), 1e-6)) if len(stated) else (0.0, 1.0)
    standard = standard_gaps(cases.request_times, mean, std)[:, None]
    inputs = np.concatenate([features, features * standard[:, :, None]], axis=2)
    fitted_on = (values[has_target] for values in (scores, inputs, is_target, standard))
    scale, gap_scale, weights = fit_conditional_logit(*fitted_on)
    count = len(FEATURES)
    fitted = TimeFeatures(activity, weights[:count], weights[count:], scale, gap_scale, mean, std)
    timed = scale * np.exp(gap_scale * standard) * scores + inputs @ weights
    report["ndcg@10"] = ndcg_at(candidate_ranks(timed, is_target), 10)
    if report["ndcg@10"] > plain:
        ranker.time_features = fitted
    return report


def _candidates(
    ranker: RequestRanker, activity: ItemActivity, cases: EvalCases, num_candidates: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (n, k), scores (n, k) and features (n, k, F) of the best items of every user."""
    share = process_share(len(cases))
    histories = [cases.histories[number] for number in share]
    count = min(num_candidates, len(ranker.item_ids))
    rows, scores = ranker.rank(histories, count, user_ids=cases.ids_of_users(share))
    assert cases.times is not None  # `fit_time_features` has checked that
    times = cases.times[share.start : share.stop]
    features = np.zeros((len(rows), count, len(FEATURES)), dtype=np.float32)
    for time in np.unique(times).tolist():
        users_then = np.flatnonzero(times == time)
        features[users_then] = item_features(activity, time)[rows[users_then]]
    parts = gather_share(list(zip(rows, scores, features, strict=True)))
    rows, scores, features = (np.stack(part) for part in zip(*parts, strict=True))
    features[rows < 0] = 0
    return rows, scores, features
