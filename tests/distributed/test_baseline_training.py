"""Baselines in two processes, and killed with SIGKILL."""

import json
import subprocess

import pytest

from .conftest import Recipe
from .test_lcrec_training import run_and_kill

pytestmark = pytest.mark.slow
COMMON = ("--use_cpu", "True", "--disable_tqdm", "True", "--logging_steps", "1", "--tokens_per_batch", "75")
MODEL = {"hidden_size": 16, "hidden_dropout": 0.0, "loss": "full_softmax"}


@pytest.fixture
def sasrec(recipe) -> Recipe:
    return Recipe(recipe.folder, "train_baseline.py", ("--model", "sasrec", *COMMON))


def test_two_processes_give_the_losses_of_one(sasrec, ddp, tmp_path):
    options = ["--max_steps", "8", "--model_options", json.dumps(MODEL), "--item_dropout", "0"]
    one = sasrec.losses(tmp_path / "one", [*options, "--gradient_accumulation_steps", "2"])
    two = sasrec.losses(tmp_path / "two", options, ddp)
    assert len(two) == 8 and two == pytest.approx(one, rel=1e-4)
    reports = [json.loads((tmp_path / name / "training_report.json").read_text()) for name in ("one", "two")]
    assert reports[0]["validation"]["num_users"] == reports[1]["validation"]["num_users"] == 60


@pytest.mark.parametrize("launcher", [None, "ddp"])
def test_killed_for_good_and_resumed_gives_the_same_losses(sasrec, tmp_path, request, launcher):
    """With sampled negatives and dropout: every process goes on with its own random numbers."""
    config = request.getfixturevalue(launcher) if launcher else ()
    options = ["--max_steps", "60", "--save_steps", "6", "--eval_steps", "6", "--patience", "0"]
    options += ["--model_options", json.dumps({"hidden_size": 16, "num_negatives": 32})]
    whole = sasrec.losses(tmp_path / "whole", options, config)
    run_and_kill(sasrec, tmp_path / "killed", options, config, "checkpoint-12")
    resumed = sasrec.losses(tmp_path / "killed", [*options, "--resume", "True"], config)
    assert resumed == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("model", ["lightgcn", "knn"])
def test_the_other_baselines_run_in_two_processes(recipe, ddp, tmp_path, model):
    training = COMMON if model == "lightgcn" else ("--use_cpu", "True")
    limit = ("--max_steps", "6") if model == "lightgcn" else ()
    options = ("--model", model, *training, *limit)
    baseline = Recipe(recipe.folder, "train_baseline.py", options)
    if model == "lightgcn":
        assert len(baseline.losses(tmp_path / "two", [], ddp)) == 6
    else:
        command = baseline.command(tmp_path / "two", [], ddp)
        done = subprocess.run(command, capture_output=True, text=True, env=baseline.environment(), timeout=300)
        assert done.returncode == 0, done.stderr[-4000:]
    report = json.loads((tmp_path / "two" / "training_report.json").read_text())
    assert report["validation"]["num_users"] == 60
