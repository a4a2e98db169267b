"""Ranking evaluation: one interface for every model (`Ranker`), metrics by item id, one evaluator."""

from .evaluator import EvaluationResult, evaluate_ranker
from .metrics import hit_rate_at, ndcg_at, ranking_metrics, target_ranks
from .ranker import Ranker

__all__ = [
    "EvaluationResult",
    "Ranker",
    "evaluate_ranker",
    "hit_rate_at",
    "ndcg_at",
    "ranking_metrics",
    "target_ranks",
]
