"""`ablate`: variants over seeds, in a table that says what differs, and runs that are not repeated."""

import json

import numpy as np
import pytest
import yaml

from hf_llmrec.cli import ablate
from hf_llmrec.cli.ablation_report import ablation_table, summarize
from hf_llmrec.data.embedding_files import save_embeddings

BASE = {
    "backbone_overrides": {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1},
    "external": "text",
    "max_steps": 3,
    "learning_rate": 0.01,
    "per_device_train_batch_size": 20,
    "num_neighbors": 3,
    "eval_users": 10,
    "use_cpu": True,
    "report_to": "none",
}
VARIANTS = {"full": {}, "no_queue": {"queue_length": 0}}


@pytest.fixture
def arguments(dataset, tmp_path):
    dataset.save(tmp_path / "data")
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
    config = {"base": str(tmp_path / "base.yaml"), "variants": VARIANTS, "seeds": [0, 1]}
    (tmp_path / "ablation.yaml").write_text(yaml.safe_dump(config))
    places = ["--dataset", str(tmp_path / "data"), "--output_dir", str(tmp_path / "out")]
    return ["--config", str(tmp_path / "ablation.yaml"), *places]


def test_one_table_one_plot(arguments, tmp_path, capsys):
    ablate.main(arguments)
    report = json.loads((tmp_path / "out/ablation.json").read_text())
    assert list(report["summary"]) == list(VARIANTS) and report["measures"] == ["validation_ndcg@10", "test_ndcg@10"]
    assert len(report["summary"]["full"]["test_ndcg@10"]["values"]) == 2
    table = (tmp_path / "out/ablation.md").read_text()
    assert table.strip() in capsys.readouterr().out and "| no_queue |" in table
    assert (tmp_path / "out/ablation.png").stat().st_size > 10_000
    trained = json.loads((tmp_path / "out/no_queue/seed_1/training_report.json").read_text())
    assert trained["seed"] == 1 and trained["config"]["queue_length"] == 0
    # What is there is not trained again; a changed variant is.
    models = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("model.safetensors")}
    config = yaml.safe_load((tmp_path / "ablation.yaml").read_text())
    config["variants"]["no_queue"] = {"queue_length": 0, "momentum": 0.5}
    (tmp_path / "ablation.yaml").write_text(yaml.safe_dump(config))
    ablate.main(arguments)
    again = {path for path, time in models.items() if path.exists() and path.stat().st_mtime_ns == time}
    finals = {path for path in models if "checkpoint" not in str(path)}
    assert {path.parent.parent.name for path in finals & again} == {"full"}


def final_models(folder):
    """When each run's saved model was written, by the run's folder."""
    return {path.parent: path.stat().st_mtime_ns for path in folder.glob("*/seed_*/model.safetensors")}


def test_runs_made_from_something_else_are_repeated(arguments, dataset, tmp_path, caplog):
    """Another option in the file of `--base`, another embedding file, another dataset: each run is made again."""
    one = [*arguments, "--seeds", "0", "--variants", '{"full": {}}']
    embeddings = tmp_path / "text.safetensors"
    rng = np.random.default_rng(0)

    def changes(*options):
        before = final_models(tmp_path / "out")
        ablate.main([*one, *options])
        return final_models(tmp_path / "out") != before

    assert changes() and not changes()
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({**BASE, "num_neighbors": 2}))
    with caplog.at_level("INFO", logger="hf_llmrec"):
        assert changes() and not changes()
    assert "full, seed 0: trained again, with other base" in caplog.text
    for _ in range(2):
        save_embeddings(embeddings, dataset, items=rng.standard_normal((dataset.num_items, 6)))
        assert changes("--text_embeddings", str(embeddings)) and not changes("--text_embeddings", str(embeddings))
    assert changes("--k_core", "2") and not changes("--k_core", "2")


def test_runs_hold_out_what_the_command_holds_out(arguments, tmp_path):
    """Otherwise the variants would have been trained on the cold items that `ablate` evaluates them on."""
    ablate.main([*arguments, "--variants", '{"full": {}}', "--seeds", "0", "--cold_items", "0.2", "--cold_seed", "3"])
    data = json.loads((tmp_path / "out/full/seed_0/recommender.json").read_text())["data"]
    assert (data["cold_items"], data["cold_seed"]) == (0.2, 3)


def test_a_teacher_is_shared_by_runs_with_the_same_options_of_it(arguments, tmp_path):
    """Of two variants with different `teacher_options` the second does not get the first one's teacher."""
    shared = {"external": "both", "teacher_options": {"max_steps": 2, "model_options": {"hidden_size": 8}}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({**BASE, **shared}))
    wide = {"teacher_options": {"max_steps": 2, "model_options": {"hidden_size": 12}}}
    ablate.main([*arguments, "--variants", json.dumps({"full": {}, "no_queue": {"queue_length": 0}, "wide": wide})])
    sizes = {
        path.parent.parent.name: json.loads(path.read_text())["external_sizes"]["collaborative"]
        for path in (tmp_path / "out").glob("*/seed_*/config.json")
    }
    assert sizes == {"full": 8, "no_queue": 8, "wide": 12}
    assert len(list((tmp_path / "out").glob("teacher-*"))) == 2


def test_means_spreads_and_differences():
    runs = {"a": [{"m": 0.1}, {"m": 0.3}], "b": [{"m": 0.4}, {"m": 0.5}]}
    found = summarize(runs, ["m"])
    assert found["a"]["m"]["mean"] == pytest.approx(0.2) and found["a"]["m"]["difference"] == 0
    assert found["b"]["m"]["std"] == pytest.approx(np.std([0.4, 0.5], ddof=1))
    assert found["b"]["m"]["difference"] == pytest.approx(0.25)
    assert found["b"]["m"]["difference_std"] == pytest.approx(np.std([0.3, 0.2], ddof=1))
    table = ablation_table(found, ["m"], [0, 1])
    assert "| b | 0.4500 ± 0.0707 (+0.2500) |" in table and "seeds 0, 1" in table


def test_look_alike_pairs_cannot_be_told_from_their_texts():
    from hf_llmrec.data.demo import make_demo_shop
    from hf_llmrec.evaluation.pair_auc import pair_auc
    from hf_llmrec.indexing.text_embeddings import embed_items

    first, second, together = ablate.look_alike_pairs()
    assert len(first) == 3600 and together.mean() == pytest.approx(1 / 3)
    vectors = embed_items(make_demo_shop().dataset)
    assert pair_auc(vectors, first, second, together) == pytest.approx(0.5, abs=0.02)
    alike = (vectors[first] * vectors[second]).sum(1).mean()
    assert alike > (vectors @ vectors.T).mean() + 0.1


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "--base"),
        (["--base", "x.yaml"], "--variants"),
        (["--base", "x.yaml", "--variants", '{"a": 1}'], "--variants"),
        (["--base", "x.yaml", "--variants", '{"a": {}}', "--seeds", "1", "1"], "--seeds"),
    ],
)
def test_refused_before_it_starts(options, message):
    with pytest.raises(ValueError, match=message):
        ablate.main(["--dataset", "demo", "--output_dir", "x", *options])
