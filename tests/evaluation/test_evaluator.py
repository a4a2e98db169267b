"""`evaluate_ranker` on rankers whose rankings are known in advance."""

import math

import numpy as np
import pytest

from hf_llmrec.data.splits import leave_one_out
from hf_llmrec.evaluation.evaluator import catalog_mapping, evaluate_ranker
from hf_llmrec.evaluation.ranker import Ranker

ITEMS = [f"i{row}" for row in range(12)]
USERS = ["ann", "bob", "cat", "dan"]
# Four users, whose test items are rows 3, 7, 11 and 0.
SEQUENCES = [[0, 1, 2, 3], [5, 6, 7], [8, 9, 10, 11], [1, 2, 0]]


class FixedRanker(Ranker):
    """Ranks the items in the order of its catalogue, and remembers what it was asked."""

    def __init__(self, item_ids=ITEMS):
        self.item_ids, self.asked = list(item_ids), []

    def rank(self, histories, k, *, user_ids=None, exclude=None, allowed=None):
        self.asked.append({"histories": [list(each) for each in histories], "k": k, "users": user_ids})
        rows = np.full((len(histories), k), -1, dtype=np.int64)
        for number in range(len(histories)):
            left_out = set() if exclude is None else set(exclude[number].tolist())
            best = [row for row in range(len(self.item_ids)) if row not in left_out][:k]
            rows[number, : len(best)] = best
        return rows, -rows.astype(float)


@pytest.fixture
def cases():
    indptr = np.cumsum([0, *(len(each) for each in SEQUENCES)])
    return leave_one_out(indptr, np.concatenate(SEQUENCES).astype(np.int32)).test


def test_metrics_ranks_and_rankings(cases):
    ranker = FixedRanker()
    result = evaluate_ranker(ranker, cases, ITEMS, user_ids=USERS)
    assert result.ranks.tolist() == [3, 7, -1, 0]  # item 11 is not among the first ten
    assert result.metrics == {
        "hit_rate@1": 0.25,
        "hit_rate@5": 0.5,
        "hit_rate@10": 0.75,
        "ndcg@5": pytest.approx((1 / math.log2(5) + 1) / 4),
        "ndcg@10": pytest.approx((1 / math.log2(5) + 1 / math.log2(9) + 1) / 4),
        "num_users": 4,
    }
    assert result.item_rows.tolist() == [list(range(10))] * 4 and result.seconds >= 0
    assert result.catalogue_coverage(12) == 10 / 12
    assert ranker.asked == [{"histories": [each[:-1] for each in SEQUENCES], "k": 10, "users": USERS}]


@pytest.mark.parametrize(
    "k, names",
    [
        (1, {"hit_rate@1"}),
        (5, {"hit_rate@1", "hit_rate@5", "ndcg@5"}),
        (9, {"hit_rate@1", "hit_rate@5", "ndcg@5"}),
        (10, {"hit_rate@1", "hit_rate@5", "hit_rate@10", "ndcg@5", "ndcg@10"}),
        (50, {"hit_rate@1", "hit_rate@5", "hit_rate@10", "ndcg@5", "ndcg@10"}),
    ],
)
def test_metrics_are_those_that_k_items_can_tell(cases, k, names):
    """Of the four targets one is 8th: among ten, but not among the five that are asked for."""
    whole = evaluate_ranker(FixedRanker(), cases, ITEMS).metrics
    found = evaluate_ranker(FixedRanker(), cases, ITEMS, k=k).metrics
    assert set(found) == names | {"num_users"}
    assert found == {name: whole[name] for name in found}


def test_k_beyond_the_catalogue_is_padded_and_complete(cases):
    result = evaluate_ranker(FixedRanker(), cases, ITEMS, k=15)
    assert result.ranks.tolist() == [3, 7, 11, 0] and (result.item_rows[:, 12:] == -1).all()
    assert result.metrics["hit_rate@10"] == 0.75 and result.catalogue_coverage(12) == 1


def test_chunks_change_nothing_and_progress_is_reported(cases):
    calls = []
    ranker = FixedRanker()
    parts = evaluate_ranker(ranker, cases, ITEMS, chunk_size=3, on_progress=lambda *done: calls.append(done))
    whole = evaluate_ranker(FixedRanker(), cases, ITEMS)
    assert parts.metrics == whole.metrics and parts.ranks.tolist() == whole.ranks.tolist()
    assert calls == [(3, 4), (4, 4)] and [len(each["histories"]) for each in ranker.asked] == [3, 1]


def test_masking_leaves_the_history_out(cases):
    result = evaluate_ranker(FixedRanker(), cases, ITEMS, mask_seen=True)
    assert result.item_rows[0].tolist() == list(range(3, 12)) + [-1]
    assert result.ranks.tolist() == [0, 5, 8, 0]


def test_rows_of_another_order_are_translated_both_ways(cases):
    """The ranker's catalogue is reversed: it gets its own rows, and a hit is the same item id."""
    ranker = FixedRanker(ITEMS[::-1])
    result = evaluate_ranker(ranker, cases, ITEMS)
    assert ranker.asked[0]["histories"][0] == [11, 10, 9]
    assert result.item_rows[0].tolist() == list(range(11, 1, -1))
    assert result.ranks.tolist() == [8, 4, 0, -1]
    padded = evaluate_ranker(FixedRanker(ITEMS[::-1]), cases, ITEMS, k=13)
    assert (padded.item_rows[:, 12] == -1).all() and padded.ranks.tolist() == [8, 4, 0, 11]


def test_other_catalogues_are_refused(cases):
    with pytest.raises(ValueError, match="1 of the model's items are not in the dataset, for example 'other'"):
        evaluate_ranker(FixedRanker([*ITEMS[:-1], "other"]), cases, ITEMS)
    with pytest.raises(ValueError, match=r"11 items\) does not match the dataset's \(12 items\)"):
        catalog_mapping(ITEMS[:-1], ITEMS)
    assert catalog_mapping(ITEMS, ITEMS) is None and catalog_mapping(["b", "a"], ["a", "b"]).tolist() == [1, 0]


def test_nobody_to_evaluate_is_an_error(cases):
    with pytest.raises(ValueError, match="nobody can be evaluated"):
        evaluate_ranker(FixedRanker(), cases.sample(0), ITEMS)


@pytest.mark.parametrize("k", [0, -1])
def test_k_must_be_positive(cases, k):
    with pytest.raises(ValueError, match=f"k must be at least 1, got {k}"):
        evaluate_ranker(FixedRanker(), cases, ITEMS, k=k)


def test_a_ranker_that_returns_fewer_columns_is_refused(cases):
    """Its metrics beyond those columns would be counted as misses."""

    class Short(FixedRanker):
        def rank(self, histories, k, **options):
            rows, scores = super().rank(histories, k, **options)
            return rows[:, :5], scores[:, :5]

    with pytest.raises(ValueError, match=r"Short.rank must return \(4, 10\) rows, got \(4, 5\)"):
        evaluate_ranker(Short(), cases, ITEMS)
