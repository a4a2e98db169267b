"""The metrics as evaluate modules, and against trec_eval on random rankings with ties."""

import numpy as np
import pytest
import pytrec_eval

from hf_llmrec.evaluation.metrics import ranking_metrics, target_ranks
from hf_llmrec.evaluation.rankings import load_metric
from hf_llmrec.evaluation.top_k import rank_dense_scores


def test_metrics_and_tie_order_agree_with_trec_eval():
    """trec_eval breaks ties by descending document id: with ids that descend as rows ascend, by item order."""
    rng = np.random.default_rng(0)
    users, items = 300, 40
    scores = rng.integers(0, 6, size=(users, items)).astype(float)  # hardly a ranking without ties
    targets = rng.integers(items, size=users)
    names = [f"d{items - row:04d}" for row in range(items)]
    run = {f"u{u}": {names[i]: scores[u, i] for i in range(items)} for u in range(users)}
    truth = {f"u{u}": {names[targets[u]]: 1} for u in range(users)}
    wanted = {"success.1,5,10", "ndcg_cut.5,10", "recall.10"}
    found = pytrec_eval.RelevanceEvaluator(truth, wanted).evaluate(run)
    rows, _ = rank_dense_scores(scores, 10)
    ours = ranking_metrics(target_ranks(rows, targets))
    for mine, theirs in {
        "hit_rate@1": "success_1",
        "hit_rate@5": "success_5",
        "hit_rate@10": "recall_10",
        "ndcg@5": "ndcg_cut_5",
        "ndcg@10": "ndcg_cut_10",
    }.items():
        assert ours[mine] == pytest.approx(np.mean([each[theirs] for each in found.values()]), abs=1e-12)
    assert 0.1 < ours["ndcg@10"] < 0.9


@pytest.mark.parametrize("kind", [int, str])
def test_evaluate_modules_give_the_same_numbers(kind):
    rng = np.random.default_rng(1)
    rows = np.stack([rng.permutation(30)[:10] for _ in range(50)])
    rows[3, 4:] = -1
    targets = rng.integers(30, size=50)
    expected = ranking_metrics(target_ranks(rows, targets))

    def spell(item):
        return int(item) if kind is int else f"item {item}" if item >= 0 else ""

    predictions, references = [[spell(i) for i in row] for row in rows], [spell(i) for i in targets]
    for name in ("hit_rate", "ndcg"):
        metric = load_metric(name)
        for k in (5, 10):
            assert metric.compute(predictions=predictions, references=references, k=k) == {
                f"{name}@{k}": pytest.approx(expected[f"{name}@{k}"])
            }
        for start in range(0, 50, 20):
            metric.add_batch(predictions=predictions[start : start + 20], references=references[start : start + 20])
        assert metric.compute()[f"{name}@10"] == pytest.approx(expected[f"{name}@10"])


def test_bad_input():
    metric = load_metric("ndcg")
    with pytest.raises(ValueError, match="prediction 1 has 2 entries, k is 3"):
        metric.compute(predictions=[["a", "b", "c"], ["a", "b"]], references=["a", "b"], k=3)
    with pytest.raises(ValueError, match="more than once"):
        load_metric("ndcg").compute(predictions=[["a", "a"]], references=["a"], k=2)
    with pytest.raises(ValueError, match="positive integer"):
        load_metric("ndcg").compute(predictions=[["a", "a"]], references=["a"], k=0)
    with pytest.raises(ValueError, match="metric must be one of"):
        load_metric("mrr")
