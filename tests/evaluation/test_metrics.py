import math

import numpy as np
import pytest
import pytrec_eval

from hf_llmrec.evaluation.metrics import (
    METRIC_NAMES,
    hit_rate_at,
    metric_columns,
    ndcg_at,
    ranking_metrics,
    target_ranks,
)


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


def test_other_cutoffs_are_those_of_pytrec_eval():
    """One relevant item per user: recall is HR, average precision the reciprocal rank."""
    rng = np.random.default_rng(0)
    rankings = np.stack([rng.permutation(200)[:50] for _ in range(400)])
    targets = rng.integers(200, size=400)
    ks = (50, 20, 3, 20)
    found = ranking_metrics(target_ranks(rankings, targets), 50, ks)
    truth = {f"u{user}": {str(target): 1} for user, target in enumerate(targets)}
    run = {f"u{user}": {str(item): 50.0 - place for place, item in enumerate(row)} for user, row in enumerate(rankings)}
    wanted = {"recall.3,20,50", "ndcg_cut.3,20,50", "map_cut.3,20,50", "recip_rank"}
    theirs = pytrec_eval.RelevanceEvaluator(truth, wanted).evaluate(run)

    def mean(name):
        return pytest.approx(np.mean([theirs[user][name] for user in truth]), abs=1e-9)

    for k in (3, 20, 50):
        assert found[f"hit_rate@{k}"] == mean(f"recall_{k}") and found[f"ndcg@{k}"] == mean(f"ndcg_cut_{k}")
        assert found[f"map@{k}"] == found[f"mrr@{k}"] == mean(f"map_cut_{k}")
    assert found["mrr@50"] == mean("recip_rank")
    assert 0 < found["hit_rate@3"] < found["hit_rate@50"] < 1
    assert list(found)[:5] == list(METRIC_NAMES) and list(found)[-1] == "num_users"
    assert metric_columns(found)[5:8] == ["hit_rate@3", "ndcg@3", "mrr@3"]
    assert "mrr@20" not in ranking_metrics(target_ranks(rankings, targets), 10, ks)


@pytest.mark.parametrize("wrong", [0, -3, 2.5, True, "ten"])
def test_cutoffs_are_whole_numbers(wrong):
    with pytest.raises(ValueError, match=f"ks must be integers of at least 1, got {wrong!r}"):
        ranking_metrics(np.array([1]), 10, [5, wrong])
