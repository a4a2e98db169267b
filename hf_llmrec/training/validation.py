"""Who is ranked at the evaluations of a training, and what is fitted on them at its end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from transformers import EarlyStoppingCallback, TrainerCallback

from ..data.splits import EvalCases, RecSplit
from ..evaluation.time_fit import fit_time_features

if TYPE_CHECKING:
    from .language_model_config import LanguageModelTrainingConfig
    from .row_config import RowTrainingConfig

logger = logging.getLogger(__name__)


def validation_cases(split: RecSplit, users: int) -> EvalCases:
    """Validation users that are ranked at every evaluation.

    Args:
        split: the split whose validation users are taken.
        users: maximum number of users, a fixed random sample; 0: all.

    Raises:
        ValueError: the split has no validation users, see `RecSplit.require_cases`.
    """
    cases = split.require_cases("validation")
    return cases.sample(users, seed=0) if users else cases


def early_stopping(args: RowTrainingConfig | LanguageModelTrainingConfig) -> list[TrainerCallback]:
    """transformers' early stopping where it is configured, as a list of callbacks.

    Args:
        args: ``patience`` is the number of evaluations without a better result after which a run ends (0: never).
    """
    return [EarlyStoppingCallback(args.patience)] if args.patience and args.load_best_model_at_end else []


def learn_times(recommender: Any, split: RecSplit, cases: EvalCases, num_candidates: int) -> None:
    """Fit the time features of a trained recommender, where its data has times, and log what they are worth.

    Args:
        recommender: the recommender; its ``time_features`` are replaced.
        split: its training interactions are counted.
        cases: validation users.
        num_candidates: number of items per user, see `fit_time_features`.
    """
    recommender.time_features = None
    if cases.request_times is None or not recommender.supports_item_bonus:
        return
    report = fit_time_features(recommender, split, cases, num_candidates=num_candidates)
    numbers = "validation NDCG@10 {ndcg@10:.4f}, without {without:.4f}".format(**report)
    logger.info("time features: %s", numbers if recommender.time_features else f"none ({numbers})")
