import math

import numpy as np
import pytest

from hf_llmrec.evaluation.metrics import hit_rate_at, ndcg_at, ranking_metrics, target_ranks


def test_target_ranks_are_zero_based_and_minus_one_for_a_miss():
    rows = np.array([[3, 1, 2], [5, 6, -1], [7, 8, 9]])
    assert target_ranks(rows, np.array([3, 6, 4])).tolist() == [0, 1, -1]


def test_an_item_named_twice_is_an_error():
    with pytest.raises(ValueError, match="more than once"):
        target_ranks(np.array([[1, 1]]), np.array([1]))


def test_padding_is_never_a_hit():
    with pytest.raises(ValueError, match="item rows"):
        target_ranks(np.array([[-1, -1]]), np.array([-1]))


def test_metrics_by_hand():
    ranks = np.array([0, 4, 9, -1])
    assert hit_rate_at(ranks, 1) == 0.25
    assert hit_rate_at(ranks, 5) == 0.5
    assert hit_rate_at(ranks, 10) == 0.75
    assert ndcg_at(ranks, 5) == pytest.approx((1 + 1 / math.log2(6)) / 4)
    assert ndcg_at(ranks, 10) == pytest.approx((1 + 1 / math.log2(6) + 1 / math.log2(11)) / 4)
    assert set(ranking_metrics(ranks)) == {"hit_rate@1", "hit_rate@5", "hit_rate@10", "ndcg@5", "ndcg@10", "num_users"}


def test_metrics_beyond_the_end_of_a_ranking_are_left_out():
    assert ranking_metrics(np.array([0, 4, -1, -1]), depth=5) == {
        "hit_rate@1": 0.25,
        "hit_rate@5": 0.5,
        "ndcg@5": pytest.approx((1 + 1 / math.log2(6)) / 4),
        "num_users": 4,
    }


@pytest.mark.parametrize(
    "metric", [lambda ranks: hit_rate_at(ranks, 10), lambda ranks: ndcg_at(ranks, 10), ranking_metrics]
)
def test_metrics_of_nobody_are_an_error_and_not_zero(metric):
    with pytest.raises(ValueError, match="no user to evaluate"):
        metric(np.array([], dtype=int))
