"""``compare`` on trained baselines."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from hf_llmrec.cli import compare, evaluate, train_baseline


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("compare")
    dataset.save(root / "data")
    train_baseline.main(["--model", "knn", "--dataset", str(root / "data"), "--output_dir", str(root / "knn")])
    return root


def test_the_same_numbers_as_evaluate(folder, capsys):
    options = ["--dataset", str(folder / "data")]
    compare.main(["--models", "popularity", str(folder / "knn"), "--output", str(folder / "out"), *options])
    report = json.loads((folder / "out" / "comparison.json").read_text())
    assert (folder / "out" / "comparison.md").read_text().strip() in capsys.readouterr().out
    evaluate.main(["--model", str(folder / "knn"), "--output", str(folder / "knn.json"), *options])
    alone = json.loads((folder / "knn.json").read_text())
    found = report["models"]["knn"]
    assert {name: alone[name] for name in found["metrics"]} == found["metrics"]
    assert found["catalogue_coverage"] == alone["catalogue_coverage"] and found["users_per_second"] > 0
    assert {path.name for path in (folder / "out").iterdir()} == {
        "comparison.json",
        "comparison.md",
        "comparison.png",
        "ranks.safetensors",
    }
    ranks = load_file(folder / "out" / "ranks.safetensors")["knn"]
    assert float((ranks >= 0).mean()) == found["metrics"]["hit_rate@10"] and ranks.dtype == np.int16


@pytest.mark.parametrize(
    "options, message",
    [
        (["--models", "popularity", "popularity"], "one of its own"),
        (["--models", "popularity", "--names", "a", "b"], "one of its own"),
        (["--models", "popularity", "--split", "train"], "--split"),
        ([], "--models"),
    ],
)
def test_bad_options(folder, options, message):
    with pytest.raises(ValueError, match=message):
        compare.main(["--dataset", str(folder / "data"), "--output", str(folder / "x"), *options])


def test_a_model_of_other_data_is_refused(folder, dataset):
    options = ["--models", str(folder / "knn"), "--dataset", "demo", "--output", str(folder / "x")]
    with pytest.raises(
        ValueError, match="knn was trained on another catalogue and other interactions and another split than"
    ):
        compare.main(options)


def test_all_targets_of_a_period_and_further_cut_offs(tmp_path):
    options = ["--dataset", "demo", "--protocol", "temporal", "--targets", "all", "--ks", "20"]
    compare.main(["--models", "popularity", "--output", str(tmp_path / "out"), *options])
    report = json.loads((tmp_path / "out" / "comparison.json").read_text())
    evaluate.main(["--model", "popularity", "--output", str(tmp_path / "alone.json"), *options])
    alone = json.loads((tmp_path / "alone.json").read_text())
    metrics = report["models"]["popularity"]["metrics"]
    assert {name: alone[name] for name in metrics} == metrics
    assert {"recall@5", "recall@10", "recall@20", "hit_rate@20", "ndcg@20", "mrr@20", "map@20"} <= set(metrics)
    assert report["targets"] == alone["targets"] == "all" and 0 < metrics["recall@20"] < metrics["hit_rate@20"]
    assert "every item of the period relevant" in (tmp_path / "out" / "comparison.md").read_text()
    compare.main(["--models", "popularity", "--output", str(tmp_path / "first"), *options[:4]])
    assert "targets" not in json.loads((tmp_path / "first" / "comparison.json").read_text())


def test_all_targets_need_a_temporal_protocol(folder):
    with pytest.raises(ValueError, match="--targets all needs --protocol temporal"):
        compare.main(["--models", "popularity", "--dataset", "demo", "--output", "x", "--targets", "all"])
