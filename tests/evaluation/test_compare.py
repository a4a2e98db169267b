"""Paired bootstrap, groups of cases, and what a comparison says in words."""

import numpy as np
import pytest

from hf_llmrec.evaluation.compare import (
    case_groups,
    compare_results,
    in_words,
    paired_bootstrap,
)
from hf_llmrec.evaluation.comparison_report import markdown_report, save_comparison_plot
from hf_llmrec.evaluation.evaluator import EvaluationResult
from hf_llmrec.evaluation.metrics import METRIC_NAMES, metric_values, ranking_metrics
from hf_llmrec.evaluation.relevance import Relevance

RNG = np.random.default_rng(0)


def test_what_users_add_is_the_metric_on_average():
    ranks = RNG.integers(-1, 15, size=400)
    expected = ranking_metrics(ranks)
    for metric in METRIC_NAMES:
        assert metric_values(ranks, metric).mean() == pytest.approx(expected[metric])
    with pytest.raises(ValueError, match="unknown metric"):
        metric_values(ranks, "mrr")
    ks = ranking_metrics(ranks, 20, [20])
    for metric in ("hit_rate@20", "ndcg@20", "mrr@20", "map@20"):
        assert metric_values(ranks, metric, 20).mean() == pytest.approx(ks[metric])


def test_a_cut_off_beyond_the_rankings_is_an_error():
    ranks = np.array([0, 7, -1])
    assert metric_values(ranks, "hit_rate@20", depth=20).tolist() == [1, 1, 0]
    for metric, depth in (("hit_rate@20", 10), ("ndcg@10", 5), ("ndcg@0", 10)):
        with pytest.raises(ValueError, match=f"{metric} cannot be computed from rankings of {depth} items"):
            metric_values(ranks, metric, depth)


def test_a_group_without_users_has_no_figure(report):
    groups = report["models"]["sasrec"]["groups"]
    assert groups["cold item"] == {"hit_rate@10": None, "ndcg@10": None, "num_users": 0, "against": {}}
    assert groups["short history"]["ndcg@10"] > 0


def test_the_interval_is_that_of_drawing_users():
    first, second = (
        metric_values(RNG.integers(-1, 10, 500), "ndcg@10"),
        metric_values(RNG.integers(-1, 8, 500), "ndcg@10"),
    )
    found = paired_bootstrap(first, second, samples=20_000)
    drawn = RNG.integers(500, size=(20_000, 500))
    low, high = np.quantile((second - first)[drawn].mean(axis=1), [0.025, 0.975])
    width = high - low
    assert found.value == pytest.approx((second - first).mean())
    assert abs(found.low - low) < 0.05 * width and abs(found.high - high) < 0.05 * width
    assert paired_bootstrap(first, second, samples=500) == paired_bootstrap(first, second, samples=500)


def test_pairing_matters():
    """A small gain for the same users is clear, though users differ far more than models do."""
    base = RNG.integers(-1, 10, 3000)
    better = np.where(base > 0, base - 1, base)
    found = paired_bootstrap(metric_values(base, "ndcg@10"), metric_values(better, "ndcg@10"))
    shuffled = paired_bootstrap(metric_values(base, "ndcg@10"), metric_values(RNG.permutation(better), "ndcg@10"))
    assert found.verdict == "better"
    assert found.high - found.low < 0.5 * (shuffled.high - shuffled.low)


def test_other_users_are_an_error():
    with pytest.raises(ValueError, match="same users"):
        paired_bootstrap(np.ones(3), np.ones(4))


def test_groups(dataset):
    split = dataset.split()
    groups = case_groups(dataset, split, split.test)
    counts = np.bincount(split.train_indices, minlength=dataset.num_items)
    head = groups.masks["head"]
    assert (head ^ groups.masks["tail"]).all() and set(groups.masks) == set(groups.notes)
    assert counts[split.test.targets[head]].min() >= counts[split.test.targets[~head]].max()
    assert not groups.masks["cold item"].any()
    lengths = np.array([len(split.test.histories[i]) for i in range(len(split.test))])
    assert (lengths[groups.masks["short history"]] <= 7).all()


def of_ranks(ranks, depth=10, ks=()):
    return EvaluationResult(ranking_metrics(ranks, depth, ks), ranks, np.zeros((len(ranks), depth), dtype=int), 1.0)


@pytest.fixture
def report(dataset):
    split = dataset.split()
    groups = case_groups(dataset, split, split.test)
    n = len(split.test)
    good, bad = np.where(np.arange(n) % 2, 0, 3), np.where(np.arange(n) % 3, -1, 5)
    ranks = {"lc|rec": good, "sasrec": np.where(np.arange(n) % 2, 3, 0), "popularity": bad}
    models = compare_results({name: of_ranks(each) for name, each in ranks.items()}, groups, samples=2000)
    for model in models.values():
        model.update(catalogue_coverage=0.5, users_per_second=100.0)
    return {
        **{"dataset": "ring", "split": "test", "protocol": "leave_one_out", "mask_seen": False, "num_users": n},
        **{"num_items": dataset.num_items, "bootstrap_samples": 2000, "groups": groups.notes, "models": models},
        "in_words": in_words(models, {"sasrec", "popularity"}),
    }


def test_it_says_in_words_what_is_not_beaten(report):
    (sentence,) = report["in_words"]
    assert "beats popularity" in sentence and "DOES NOT BEAT sasrec: the difference may be chance" in sentence
    assert report["models"]["popularity"]["against"]["sasrec"]["ndcg@10"]["verdict"] == "worse"
    opposite = report["models"]["sasrec"]["against"]["popularity"]["ndcg@10"]
    assert opposite["difference"] == pytest.approx(
        -report["models"]["popularity"]["against"]["sasrec"]["ndcg@10"]["difference"]
    )


def test_tables_and_plot(report, tmp_path):
    text = markdown_report(report)
    assert report["in_words"][0] in text and "lc\\|rec" in text and "no case" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {row.replace("\\|", "").count("|") for row in rows[:5]} == {10}
    path = save_comparison_plot(report, tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000


def test_further_cut_offs_and_several_relevant_items(dataset):
    """Both come into the tables, and differences at the cut-offs into the comparison."""
    split = dataset.split()
    groups = case_groups(dataset, split, split.test)
    ranks = np.arange(len(split.test)) % 25
    models = compare_results({"a": of_ranks(ranks, 20, [20]), "b": of_ranks(ranks - 1, 20, [20])}, groups, ks=[20])
    assert set(models["a"]["against"]["b"]) == {"hit_rate@10", "ndcg@10", "hit_rate@20", "ndcg@20"}
    gain = metric_values(ranks, "hit_rate@20", 20).mean() - metric_values(ranks - 1, "hit_rate@20", 20).mean()
    assert models["a"]["against"]["b"]["hit_rate@20"]["difference"] == pytest.approx(gain)
    rankings = np.tile(np.arange(10), (len(split.test), 1))
    relevance = Relevance.of(rankings, [np.array([row % 12, 3]) for row in range(len(split.test))])
    several = EvaluationResult(relevance.metrics(), relevance.first_ranks, rankings, 1.0, relevance)
    models |= compare_results({"c": several}, groups, samples=200)
    assert models["c"]["groups"]["tail"]["ndcg@10"] == pytest.approx(
        relevance.per_user("ndcg@10")[groups.masks["tail"]].mean()
    )
    facts = {"catalogue_coverage": 0.5, "users_per_second": 100.0}
    report = {"dataset": "ring", "split": "test", "protocol": "temporal", "mask_seen": False, "num_users": 60}
    report |= {"num_items": 24, "bootstrap_samples": 200, "groups": groups.notes, "in_words": []}
    text = markdown_report(report | {"models": {"a": models["a"] | facts}})
    assert "| HR@20 | NDCG@20 | MRR@20 | MAP@20 |" in text and "every item" not in text
    text = markdown_report(report | {"models": {"c": models["c"] | facts}, "targets": "all"})
    assert "| Recall@5 | Recall@10 |" in text and "every item of the period relevant" in text
