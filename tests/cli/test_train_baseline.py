"""``train`` for every baseline: folder, evaluation, pipeline, embeddings."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import AutoModel, pipeline

from hf_llmrec.cli import evaluate, train_baseline
from hf_llmrec.data.embedding_files import read_data_fingerprint
from hf_llmrec.methods.auto import AutoRecommender

SHORT = ["--use_cpu", "True", "--disable_tqdm", "True", "--learning_rate", "0.01", "--tokens_per_batch", "100"]
OPTIONS = {
    "sasrec": [*SHORT, "--max_steps", "100", "--model_options", '{"hidden_size": 16, "num_negatives": 64}'],
    "lightgcn": [*SHORT, "--max_steps", "100", "--model_options", '{"embedding_size": 8, "num_layers": 2}'],
    "knn": [],
    "popularity": [],
}


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("baselines")
    dataset.save(root / "data")
    for model, options in OPTIONS.items():
        exported = (
            ["--export_embeddings", str(root / f"{model}.safetensors")] if model in ("sasrec", "lightgcn") else []
        )
        common = ["--model", model, "--dataset", str(root / "data"), "--output_dir", str(root / model)]
        train_baseline.main([*common, *options, *exported])
    return root


@pytest.mark.parametrize("model", OPTIONS)
def test_folder_evaluation_and_pipeline(folder, model, dataset):
    output, result = folder / f"{model}.json", folder / f"{model}_result.json"
    options = ["--model", str(folder / model), "--dataset", str(folder / "data")]
    evaluate.main([*options, "--output", str(output), "--result", str(result)])
    metrics = json.loads(output.read_text())
    assert metrics["num_users"] == 60 and metrics["max_history"] == (50 if model == "sasrec" else None)
    record = json.loads(result.read_text())
    assert record["config"]["model"] == model and record["validation"]["num_users"] == 60
    assert not any(path.name.startswith(".") for path in (folder / model).iterdir())
    rec = pipeline("recommendation", model=str(folder / model))
    answer = rec({"history": ["i3", "i4", "i5"]}, top_k=3)
    rows, _ = AutoRecommender.from_pretrained(folder / model).rank([np.array([3, 4, 5])], 3)
    assert [x["item_id"] for x in answer] == [dataset.item_ids[row] for row in rows[0]]
    with pytest.raises(ValueError, match="no use for a query"):
        rec({"history": ["i3"], "query": "something red"})
    assert AutoModel.from_pretrained(folder / model).config.num_items == dataset.num_items


def test_learned_models_beat_popularity(folder):
    ndcg = {}
    for model in OPTIONS:
        evaluate.main(
            ["--model", str(folder / model), "--dataset", str(folder / "data"), "--output", str(folder / "m.json")]
        )
        ndcg[model] = json.loads((folder / "m.json").read_text())["ndcg@10"]
    assert min(ndcg, key=ndcg.get) == "popularity" and ndcg["sasrec"] > 0.8


def test_decay_and_shrinkage_are_chosen_on_validation(folder):
    report = json.loads((folder / "knn" / "training_report.json").read_text())
    best = max(report["tried"], key=lambda each: each["ndcg@10"])
    assert len(report["tried"]) == 18 and report["validation"]["ndcg@10"] == best["ndcg@10"]
    assert report["chosen"] == {"shrinkage": best["shrinkage"], "decay": best["decay"]}


@pytest.mark.parametrize("model", ["sasrec", "lightgcn"])
def test_exported_embeddings_score_as_the_model_does(folder, model, dataset):
    vectors = load_file(folder / f"{model}.safetensors")
    assert read_data_fingerprint(folder / f"{model}.safetensors") == dataset.data_fingerprint(dataset.split())
    assert len(vectors["item_embeddings"]) == dataset.num_items and len(vectors["user_embeddings"]) == dataset.num_users
    if model == "sasrec":  # users are their training histories: nothing held out is in them
        split = dataset.split()
        histories = [split.train_sequence(user) for user in range(dataset.num_users)]
        rows, _ = AutoRecommender.from_pretrained(folder / model).rank(histories, 1, exclude=histories)
        scores = vectors["user_embeddings"] @ vectors["item_embeddings"].T
        for user, history in enumerate(histories):
            scores[user, history] = -np.inf  # their scores have a bias beside the dot product
        assert (scores.argmax(1) == rows[:, 0]).all()


def test_lightgcn_keeps_users_only_if_asked(folder, tmp_path, dataset):
    settings = json.loads((folder / "lightgcn" / "recommender.json").read_text())
    assert (
        "user_ids" not in settings and AutoRecommender.from_pretrained(folder / "lightgcn").model.config.num_users == 0
    )
    common = ["--model", "lightgcn", "--dataset", str(folder / "data"), "--output_dir", str(tmp_path / "users")]
    train_baseline.main([*common, *OPTIONS["lightgcn"], "--include_users", "True"])
    ranker = AutoRecommender.from_pretrained(tmp_path / "users")
    assert list(ranker.user_rows) == dataset.user_ids and ranker.model.config.num_users == dataset.num_users


@pytest.mark.parametrize(
    "options, message",
    [
        (["--model", "als"], "--model must be one of"),
        (["--model", "knn", "--export_embeddings", "x"], "knn has no embeddings"),
        (["--model", "sasrec", "--include_users", "True"], "no vectors of users"),
        (["--model", "knn", "--model_options", '{"k": 3}'], r"knn has no \['k'\]"),
        (["--model", "popularity", "--model_options", '{"k": 3}'], "popularity has no options"),
        (["--model", "sasrec", "--model_options", '{"width": 3}'], r"SASRecConfig has no \['width'\]"),
    ],
)
def test_bad_options(folder, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        train_baseline.main([*options, "--dataset", str(folder / "data"), "--output_dir", str(tmp_path)])


@pytest.mark.parametrize("model, option", [(None, "item_dropout"), ("lightgcn", "regularization")])
def test_help_lists_the_options_of_the_model(capsys, model, option):
    with pytest.raises(SystemExit):
        train_baseline.main([*(["--model", model] if model else []), "--help"])
    shown = capsys.readouterr().out
    assert f"--{option}" in shown and "--export_embeddings" in shown and "--learning_rate" in shown


def test_beams_are_no_option_of_a_baseline(folder):
    with pytest.raises(ValueError, match="--num_beams is an option of LC-Rec"):
        evaluate.main(["--model", str(folder / "knn"), "--dataset", str(folder / "data"), "--num_beams", "5"])
