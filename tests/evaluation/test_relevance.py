"""Metrics with several relevant items per user: by hand, against trec_eval, and on a temporal split."""

import math

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from hf_llmrec.data.splits import leave_one_out, temporal
from hf_llmrec.evaluation.evaluator import evaluate_ranker
from hf_llmrec.evaluation.metrics import ranking_metrics, target_ranks
from hf_llmrec.evaluation.ranker import Ranker
from hf_llmrec.evaluation.relevance import Relevance

MEASURES = {"hit_rate": "success", "recall": "recall", "ndcg": "ndcg_cut", "map": "map_cut"}


@given(st.integers(0, 2**32 - 1))
def test_values_of_every_user_are_those_of_trec_eval(seed):
    rng = np.random.default_rng(seed)
    rankings = np.stack([rng.permutation(40)[:20] for _ in range(12)])
    relevant = [rng.integers(40, size=rng.integers(1, 30)) for _ in range(12)]
    relevance = Relevance.of(rankings, relevant)
    truth = {f"u{user}": {str(item): 1 for item in items} for user, items in enumerate(relevant)}
    run = {f"u{user}": {str(item): 20.0 - place for place, item in enumerate(row)} for user, row in enumerate(rankings)}
    measures = {f"{name}.1,5,20" for name in MEASURES.values()} | {"recip_rank"}
    theirs = pytrec_eval.RelevanceEvaluator(truth, measures).evaluate(run)
    for k in (1, 5, 20):
        for name, measure in MEASURES.items():
            expected = [theirs[f"u{user}"][f"{measure}_{k}"] for user in range(12)]
            assert relevance.per_user(f"{name}@{k}") == pytest.approx(expected, abs=1e-9)
    assert relevance.per_user("mrr@20") == pytest.approx([theirs[f"u{user}"]["recip_rank"] for user in range(12)])


def test_values_by_hand():
    relevance = Relevance.of(np.array([[4, 7, 1, 9], [3, 2, -1, -1]]), [np.array([7, 9, 9, 5]), np.array([8])])
    assert relevance.num_relevant.tolist() == [3, 1]  # 9 came twice and counts once
    assert relevance.first_ranks.tolist() == [1, -1]
    assert relevance.per_user("hit_rate@1").tolist() == [0, 0] and relevance.per_user("hit_rate@2").tolist() == [1, 0]
    assert relevance.per_user("recall@4").tolist() == [pytest.approx(2 / 3), 0]
    ideal = 1 + 1 / math.log2(3) + 0.5
    assert relevance.per_user("ndcg@4")[0] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    assert relevance.per_user("mrr@1").tolist() == [0, 0] and relevance.per_user("mrr@4").tolist() == [0.5, 0]
    assert relevance.per_user("map@4")[0] == pytest.approx((1 / 2 + 2 / 4) / 3)


def test_one_relevant_item_gives_the_usual_metrics():
    rng = np.random.default_rng(0)
    rankings, targets = np.stack([rng.permutation(30)[:10] for _ in range(200)]), rng.integers(30, size=200)
    several = Relevance.of(rankings, targets[:, None]).metrics(10, [3])
    single = ranking_metrics(target_ranks(rankings, targets), 10, [3])
    assert {name: several[name] for name in single} == pytest.approx(single)
    assert several["recall@10"] == single["hit_rate@10"]
    assert set(several) - set(single) == {"recall@3", "recall@5", "recall@10"}


def test_wrong_input_is_an_error():
    with pytest.raises(ValueError, match="user 1 has no relevant item"):
        Relevance.of(np.zeros((2, 3)), [np.array([1]), np.array([])])
    with pytest.raises(ValueError, match="relevant n arrays; got"):
        Relevance.of(np.zeros((2, 3)), [np.array([1])])
    relevance = Relevance.of(np.array([[1, 2, 3]]), [np.array([2])])
    with pytest.raises(ValueError, match="unknown metric 'precision@3'; use hit_rate@k, recall@k"):
        relevance.per_user("precision@3")
    with pytest.raises(ValueError, match="recall@4 cannot be computed from rankings of 3 items"):
        relevance.per_user("recall@4")
    with pytest.raises(ValueError, match="no user to evaluate"):
        Relevance(np.zeros((0, 10), dtype=bool), np.zeros(0, dtype=np.int64)).metrics()


class Ascending(Ranker):
    """Recommends the items in the order of the catalogue."""

    def __init__(self, num_items):
        self.item_ids = [f"i{row}" for row in range(num_items)]

    def rank(self, histories, k, *, user_ids=None, exclude=None, allowed=None):
        rows = np.tile(np.arange(k), (len(histories), 1))
        return rows, -rows.astype(float)


def test_all_items_of_the_period_are_relevant():
    """Twenty interactions at times 0..9, two each: validation begins at 6, test at 8."""
    items = np.array([*range(8), 3, 11, *range(10, 18), 12, 0], dtype=np.int32)
    split = temporal(np.array([0, 10, 20]), items, np.tile(np.arange(10), 2), 0.2, 0.15)
    assert [split.validation.period_items[user].tolist() for user in (0, 1)] == [[6, 7], [16, 17]]
    assert [split.test.period_items[user].tolist() for user in (0, 1)] == [[3, 11], [12, 0]]
    result = evaluate_ranker(Ascending(20), split.test, targets="all", ks=[12])
    assert result.ranks.tolist() == [3, 0]
    assert result["recall@5"] == 0.5 and result["recall@12"] == 0.75 and result["mrr@12"] == (1 / 4 + 1) / 2
    assert result["hit_rate@1"] == 0.5 and result["num_users"] == 2
    assert result.per_user("recall@12").tolist() == [1, 0.5]
    # By default the first interaction of the period is the only relevant one.
    first = evaluate_ranker(Ascending(20), split.test)
    assert first.ranks.tolist() == [3, -1] and "recall@5" not in first
    assert first.per_user("hit_rate@5").tolist() == [1, 0]
    sample = split.test.sample(1, seed=0)
    assert sample.period_items[0].tolist() == split.test.period_items[int(sample.user_rows[0])].tolist()


def test_leave_one_out_has_one_target_per_user(dataset):
    cases = leave_one_out(dataset.indptr, dataset.indices).test
    assert cases.period_items is None
    with pytest.raises(ValueError, match="targets='all' needs the cases of a temporal split"):
        evaluate_ranker(object(), cases, targets="all")
    with pytest.raises(ValueError, match=r"targets must be one of \('first', 'all'\), got 'most'"):
        evaluate_ranker(object(), cases, targets="most")
