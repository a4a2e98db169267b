"""What a published repository holds, prepared in a folder; pushing it is tested against a server in test_hub.py."""

import json
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from hf_llmrec.cli import evaluate, push, train_baseline
from hf_llmrec.cli.compare import main as compare
from hf_llmrec.hub.publish import Publication, prepare


@pytest.fixture(scope="module")
def folders(dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("publish")
    dataset.save(root / "ring")
    data = ["--dataset", str(root / "ring")]
    for model in ("knn", "popularity"):
        train_baseline.main(["--model", model, *data, "--output_dir", str(root / model), "--use_cpu", "True"])
    places = ["--output", str(root / "metrics.json"), "--result", str(root / "knn.json")]
    evaluate.main(["--model", str(root / "knn"), *data, *places])
    models = ["--models", str(root / "knn"), str(root / "popularity")]
    compare([*models, *data, "--output", str(root / "comparison")])
    (root / "knn" / "checkpoint-7").mkdir()
    (root / "knn" / "run.log").write_text("of nobody's interest")
    return root


def test_a_repository_has_all_that_the_card_speaks_of(folders, tmp_path, capsys):
    output = tmp_path / "repo"
    push.main(
        [
            *("--model", str(folders / "knn"), "--repo_id", "me/knn-ring", "--card_only", str(output)),
            *("--result", str(folders / "knn.json"), "--comparison", str(folders / "comparison" / "comparison.json")),
            *("--plots", str(folders / "comparison" / "comparison.png"), "--command", "train_baseline.py --model knn"),
        ]
    )
    assert capsys.readouterr().out.strip().endswith(str(output))
    names = {path.name for path in output.iterdir()}
    saved = {path.name for path in (folders / "knn").iterdir()} - {"checkpoint-7", "run.log"}
    assert names == saved | {"README.md", "results.json", "comparison.json", "comparison.png", "training_config.yaml"}
    card = ModelCard.load(output / "README.md")
    assert card.data.license == "apache-2.0" and "knn" in card.data.tags and card.data.model_name == "knn-ring"
    metrics = json.loads((folders / "knn.json").read_text())["metrics"]
    found = {each.metric_type: each.metric_value for each in card.data.eval_results}
    assert found["ndcg@10"] == pytest.approx(metrics["ndcg@10"], abs=1e-6)
    for part in ('model="me/knn-ring"', "Trained on ring.", "| **knn** |", "| popularity |", "](comparison.png)"):
        assert part in card.text, part
    assert "train_baseline.py --model knn" in card.text and str(tmp_path) not in card.text
    config = yaml.safe_load((output / "training_config.yaml").read_text())
    assert config == json.loads((folders / "knn" / "training_report.json").read_text())["config"]


def test_an_lcrec_repository_reports_its_index(model, tokenizer, dataset, tmp_path):
    from hf_llmrec.data.recommender_folder import ItemCatalog, save_settings

    folder = tmp_path / "lcrec"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    ItemCatalog(dataset.item_ids, dataset.titles, dataset.fingerprint).save(folder)
    save_settings(folder, "lcrec", {"data": {"name": "ring"}})
    prepare(folder, "me/lcrec", Publication(base_model="Qwen/Qwen3-0.6B"), tmp_path / "repo")
    text = (tmp_path / "repo" / "README.md").read_text()
    assert "3 levels of 4, 4, 4 codes (kmeans)" in text and "0 collisions" in text
    assert "base_model: Qwen/Qwen3-0.6B" in text and "nothing is claimed" in text


def test_what_can_not_be_published(folders, tmp_path):
    def publish(output="repo", **changes):
        options = {"model": str(folders / "knn"), "repo_id": "me/x", "card_only": str(tmp_path / output), **changes}
        return push.main([word for name, value in options.items() for word in (f"--{name}", str(value))])

    with pytest.raises(FileNotFoundError, match="recommender.json"):
        publish(model=tmp_path)
    with pytest.raises(ValueError, match="metrics.json: not a result file"):
        publish(result=folders / "metrics.json")
    with pytest.raises(ValueError, match="no model 'other'"):
        publish(comparison=folders / "comparison" / "comparison.json", name="other")
    assert not (tmp_path / "repo").exists(), "half a repository was written"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("something of somebody's")
    with pytest.raises(ValueError, match="the folder is not empty"):
        publish("full")
    assert Path(tmp_path / "full" / "file").read_text()
