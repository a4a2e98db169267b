"""What a published repository holds, prepared in a folder; pushing it is tested against a server in test_hub.py."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from transformers import pipeline

from hf_llmrec.cli import evaluate, push, train_baseline
from hf_llmrec.cli.compare import main as compare
from hf_llmrec.hub.package_wheel import make_wheel
from hf_llmrec.hub.publish import Publication, prepare
from hf_llmrec.methods.lcrec.prompt import LCRecPrompt

WHEEL = make_wheel()[0]


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
    (root / "knn" / "runs" / "Jan01_name-of-the-machine").mkdir(parents=True)
    (root / "knn" / "run.log").write_text("of nobody's interest")
    return root


def test_a_repository_has_all_that_the_card_speaks_of(folders, tmp_path, capsys):
    output = tmp_path / "repo"
    push.main(
        [
            *("--model", str(folders / "knn"), "--repo_id", "me/knn-ring", "--files_only", str(output)),
            *("--result", str(folders / "knn.json"), "--comparison", str(folders / "comparison" / "comparison.json")),
            *("--plots", str(folders / "comparison" / "comparison.png"), "--command", "train_baseline.py --model knn"),
        ]
    )
    assert capsys.readouterr().out.strip().endswith(str(output))
    names = {path.name for path in output.iterdir()}
    saved = {path.name for path in (folders / "knn").iterdir()} - {"checkpoint-7", "run.log", "runs"}
    assert names - saved == {
        *("README.md", "results.json", "comparison.json", "comparison.png", "training_config.yaml"),
        *("handler.py", "requirements.txt", WHEEL),
    }
    assert saved <= names
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


@pytest.fixture
def lcrec(model, tokenizer, save_recommender, tmp_path):
    """A prepared LC-Rec repository."""
    settings = {"prompt": LCRecPrompt("packed", "", 6).to_dict(), "num_beams": 12, "normalize": "vocab"}
    folder = save_recommender(tmp_path / "lcrec", "lcrec", model, tokenizer, settings)
    prepare(folder, "me/lcrec", Publication(base_model="Qwen/Qwen3-0.6B"), tmp_path / "repo")
    return tmp_path / "repo"


def test_an_endpoint_answers_as_the_pipeline_does(lcrec):
    code = """
import json, sys
sys.path.insert(0, sys.argv[1])
from handler import EndpointHandler
handler = EndpointHandler(sys.argv[1])
one = handler({"inputs": {"history": ["i3", "i4"]}, "parameters": {"top_k": 3}})
many = handler({"inputs": [{"history": ["i3", "i4"]}, {"query": "something red"}]})
try:
    handler({"history": ["i3"]})
except ValueError as error:
    print(json.dumps([one, many, str(error)]))
"""
    done = subprocess.run([sys.executable, "-c", code, str(lcrec)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    one, many, error = json.loads(done.stdout.strip().splitlines()[-1])
    rec = pipeline("recommendation", model=str(lcrec))
    assert [each["item_id"] for each in one] == [each["item_id"] for each in rec({"history": ["i3", "i4"]}, top_k=3)]
    assert [len(answer) for answer in many] == [10, 10] and "inputs" in error


def test_an_lcrec_repository_reports_its_index(lcrec):
    text = (lcrec / "README.md").read_text()
    assert "3 levels of 4, 4, 4 codes (kmeans)" in text and "0 collisions" in text
    assert "base_model: Qwen/Qwen3-0.6B" in text and "nothing is claimed" in text


@pytest.mark.parametrize(
    ("encoder", "named"), [("sentence-transformers/all-MiniLM-L6-v2", True), ("tfidf", False), ("my-folder", False)]
)
def test_the_encoder_of_texts_is_the_base_model(folders, tmp_path, encoder, named):
    shutil.copytree(folders / "knn", tmp_path / "model")
    report = {"method": "knn", "config": {"text_encoder": encoder, "model": "text_encoder"}}
    (tmp_path / "model" / "training_report.json").write_text(json.dumps(report))
    # Of other methods it is what embedded the items' texts.
    prepare(tmp_path / "model", "me/texts", Publication(), tmp_path / "repo")
    assert ModelCard.load(tmp_path / "repo" / "README.md").data.base_model is None
    settings = json.loads((tmp_path / "model" / "recommender.json").read_text())
    (tmp_path / "model" / "recommender.json").write_text(json.dumps(settings | {"method": "text_encoder"}))
    prepare(tmp_path / "model", "me/texts", Publication(), tmp_path / "encoder")
    assert ModelCard.load(tmp_path / "encoder" / "README.md").data.base_model == (encoder if named else None)


def test_what_can_not_be_published(folders, tmp_path):
    def publish(output="repo", **changes):
        options = {"model": str(folders / "knn"), "repo_id": "me/x", "files_only": str(tmp_path / output), **changes}
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
