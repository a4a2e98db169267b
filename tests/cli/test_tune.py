"""`tune` with real trainings in processes of their own: killed and resumed, failed, refused, and reproduced."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from hf_llmrec.cli import main
from hf_llmrec.cli.tune_failure import failure_of
from hf_llmrec.cli.tune_options import TuneArguments, given_options
from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.methods.auto import AutoRecommender

ROOT = Path(__file__).parents[2]
SPACE = {
    "learning_rate": {"type": "float", "low": 0.003, "high": 0.02, "log": True},
    "model_options.num_hidden_layers": {"type": "int", "low": 1, "high": 2},
    "item_dropout": {"type": "float", "low": 0.0, "high": 0.3},
}
OPTIONS = ["--model_options", '{"hidden_size": 8}', "--max_steps", "50", "--patience", "0", "--use_cpu", "True"]
OPTIONS += ["--eval_steps", "0.1", "--save_steps", "0.1"]


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("tune")
    dataset.save(root / "data")
    (root / "space.yaml").write_text(yaml.safe_dump(SPACE))
    return root


def words(folder, *options: str, output="search") -> list[str]:
    places = ["--dataset", str(folder / "data"), "--output_dir", str(folder / output)]
    return ["sasrec", *places, "--space", str(folder / "space.yaml"), *OPTIONS, *options]


def trial(folder, number: int) -> dict:
    return json.loads((folder / f"search/trials/{number:04d}/trial.json").read_text())


@pytest.fixture(scope="module")
def searched(folder):
    """The folder of a search of 3 trials, killed in the second one and started again with the same command."""
    command = [sys.executable, str(ROOT / "recipes/tune.py"), *words(folder, "--num_trials", "3")]
    search = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 240
    # The second trial has a checkpoint that its training can go on from.
    while len(list(folder.glob("search/trials/0001/model/checkpoint-*/trainer_state.json"))) < 2:
        assert search.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    (training,) = psutil.Process(search.pid).children()
    os.kill(search.pid, signal.SIGKILL)
    search.wait()
    training.wait(timeout=60)  # it ends by itself: nobody waits for it
    assert trial(folder, 1)["state"] == "running" and trial(folder, 1)["seconds"] > 0
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_killed_search_goes_on(searched):
    folder, done = searched
    assert "trial 1 was interrupted and is trained with the same values" in done.stderr
    assert "trial 0:" not in done.stderr, "what is there is not repeated"
    log = (folder / "search/trials/0001/log.txt").read_text()
    assert "going on from checkpoint-" in log
    assert [trial(folder, number)["state"] for number in range(3)] == ["complete"] * 3
    # Evaluations of both parts, each once.
    assert list(trial(folder, 1)["evaluations"]) == [str(percent) for percent in range(10, 101, 10)]


def test_the_defaults_come_first(searched):
    folder, _ = searched
    fixed = {"model_options": {"hidden_size": 8}, "max_steps": 50, "patience": 0, "use_cpu": True}
    fixed |= {"eval_steps": 0.1, "save_steps": 0.1, "seed": 0}
    assert yaml.safe_load((folder / "search/trials/0000/options.yaml").read_text()) == fixed
    # Which these are follows from the training, not from the space.
    assert trial(folder, 0)["params"] == {
        "learning_rate": 0.001,
        "model_options.num_hidden_layers": 2,
        "item_dropout": 0.2,
    }
    report = json.loads((folder / "search/trials/0001/training_report.json").read_text())
    params = trial(folder, 1)["params"]
    assert report["config"]["learning_rate"] == params["learning_rate"] and report["seed"] == 0
    assert report["validation"]["ndcg@10"] == trial(folder, 1)["value"]
    layers = params["model_options.num_hidden_layers"]
    assert report["config"]["model_options"] == {"hidden_size": 8, "num_hidden_layers": layers}


def test_the_table_and_the_best_recommender(searched, capsys):
    folder, done = searched
    table = (folder / "search/trials.md").read_text()
    assert table in done.stdout and table.count("| complete |") == 3 and "| 0 (defaults) |" in table
    report = json.loads((folder / "search/trials.json").read_text())
    values = [each["value"] for each in report["trials"]]
    assert values == sorted(set(values), reverse=True) and report["method"] == "sasrec"
    assert len(list((folder / "search").rglob("model.safetensors"))) == 1, "weights of the best trial alone are left"
    assert not list((folder / "search").rglob("checkpoint-*"))
    split = RecDataset.load(folder / "data").split()
    best = AutoRecommender.from_pretrained(folder / "search/best")
    assert best.evaluate(split.validation)["ndcg@10"] == pytest.approx(values[0])


def test_the_best_options_give_the_same_metric(searched, tmp_path):
    folder, _ = searched
    text = (folder / "search/best.yaml").read_text()
    report = json.loads((folder / "search/trials.json").read_text())
    assert text.startswith("# hf-llmrec train sasrec --config best.yaml --dataset D --output_dir O\n")
    assert str(folder) not in text
    places = ["--dataset", str(folder / "data"), "--output_dir", str(tmp_path / "again")]
    assert main(["train", "sasrec", "--config", str(folder / "search/best.yaml"), *places]) == 0
    again = json.loads((tmp_path / "again/training_report.json").read_text())
    assert again["validation"]["ndcg@10"] == report["trials"][0]["value"]
    # So do those of the trial that was interrupted.
    options = str(folder / "search/trials/0001/options.yaml")
    assert main(["train", "sasrec", "--config", options, *places[:2], "--output_dir", str(tmp_path / "one")]) == 0
    one = json.loads((tmp_path / "one/training_report.json").read_text())
    assert one["validation"]["ndcg@10"] == trial(folder, 1)["value"]


def test_the_test_split_is_not_ranked(searched):
    folder, _ = searched
    for file in (folder / "search").rglob("*.json"):
        assert "test" not in json.loads(file.read_text()), file


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--max_steps", "61"], "options.max_steps was 50, is 61"),
        (["--k_core", "2"], "options.k_core was not set, is 2"),
        (["--cold_items", "0.2"], "options.cold_items was not set, is 0.2"),
        (["--seed", "1"], "seed was 0, is 1"),
    ],
)
def test_other_options_are_refused(searched, change, said, capsys):
    folder, _ = searched
    assert main(["tune", *words(folder, "--num_trials", "4", *change)]) == 1
    error = capsys.readouterr().err
    assert "hf-llmrec tune sasrec: --output_dir " in error and "trials of another search" in error and said in error


def test_another_space_and_other_data_are_refused(searched, dataset, tmp_path, capsys):
    folder, _ = searched
    space = {**SPACE, "item_dropout": {"type": "float", "low": 0.0, "high": 0.5}}
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))
    assert main(["tune", *words(folder, "--num_trials", "4", "--space", str(tmp_path / "space.yaml"))]) == 1
    assert "space.item_dropout.high was 0.3, is 0.5" in capsys.readouterr().err
    assert main(["tune", *words(folder, "--num_trials", "4", "--dataset", "demo")]) == 1
    assert "data.num_interactions was " in capsys.readouterr().err


def test_a_failed_trial_is_recorded_with_its_message(folder, tmp_path):
    (tmp_path / "space.yaml").write_text("model_options.num_attention_heads: {type: categorical, choices: [3]}")
    options = ["--num_trials", "2", "--space", str(tmp_path / "space.yaml"), "--max_steps", "1"]
    assert main(["tune", *words(folder, *options, output="failed")]) == 0
    report = json.loads((folder / "failed/trials.json").read_text())
    assert report["best"] == 0 and [each["state"] for each in report["trials"]] == ["complete", "failed"]
    reason = report["trials"][1]["reason"]
    assert reason.startswith("hf-llmrec train sasrec: --model_options: ") and "num_attention_heads (3)" in reason
    assert f"- trial 1: {reason}" in (folder / "failed/trials.md").read_text()


def test_if_all_fail_the_command_does(folder, capsys):
    options = ["--num_trials", "1", "--model_options", '{"num_attention_heads": 3}']
    assert main(["tune", *words(folder, *options, output="all-failed")]) == 1
    error = capsys.readouterr().err
    assert "hf-llmrec tune sasrec: no trial was completed; the first one: hf-llmrec train sasrec: --model" in error


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (
            "hf-llmrec train lcrec: out of memory: lower --x\nTraceback\nRuntimeError: no\n",
            1,
            "hf-llmrec train lcrec: out of",
        ),
        ("step 3\nTraceback\nRuntimeError: no\n\n", 1, "RuntimeError: no"),
        ("", 3, "exit status 3"),
        ("step 3\n", -9, "the process was ended by signal 9 (perhaps for lack of memory)"),
        ("step 3\n", -11, "the process was ended by signal 11"),
    ],
)
def test_what_is_said_of_a_failure(text, code, said, tmp_path):
    (tmp_path / "log.txt").write_text("hf-llmrec train lcrec: an earlier failure\n" + text)
    assert failure_of(tmp_path / "log.txt", len("hf-llmrec train lcrec: an earlier failure\n"), code).startswith(said)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--budget or --num_trials is needed"),
        (["--budget", "soon"], "--budget must be a duration such as 2h"),
        (["--num_trials", "0"], "--num_trials must be at least 1"),
        (["--num_trials", "2", "--metric", "loss"], "--metric must be one of hit_rate@1"),
        (["--num_trials", "2", "--push_to_hub", "True"], "--push_to_hub is of one model"),
        (["--num_trials", "2", "--no_such_option", "1"], "unrecognized arguments: --no_such_option 1"),
        (["--num_trials", "2", "--item_dropout", "1.5"], "--item_dropout must lie in [0, 1)"),
    ],
)
def test_refused_before_anything_is_trained(folder, options, said, capsys):
    assert main(["tune", *words(folder, *options, output="refused")]) == 1
    assert said in capsys.readouterr().err and not (folder / "refused").exists()


@pytest.mark.parametrize("name", ["no_such_option", "dataset", "seed", "eval_users", "resume"])
def test_a_space_of_something_else_is_refused(folder, tmp_path, name, capsys):
    (tmp_path / "space.yaml").write_text(yaml.safe_dump({name: {"type": "categorical", "choices": [1]}}))
    options = ["--num_trials", "2", "--space", str(tmp_path / "space.yaml")]
    assert main(["tune", *words(folder, *options, output="refused")]) == 1
    assert f"--space {tmp_path / 'space.yaml'}: {name} is no option" in capsys.readouterr().err


def test_options_that_are_given_are_told_from_defaults(tmp_path):
    from hf_llmrec.cli.tune import OPTIONS as KINDS

    (tmp_path / "base.yaml").write_text("learning_rate: 1e-3\nnum_train_epochs: 4\nbudget: 2h\nmodel_options: {a: 1}\n")
    line = [
        "--config",
        str(tmp_path / "base.yaml"),
        "--num_train_epochs",
        "5",
        "--dataset",
        "demo",
        "--num_trials",
        "3",
    ]
    given = given_options((TuneArguments, *KINDS["sasrec"]), [*line, "--item_dropout=0.5"])
    expected = {"learning_rate": 1e-3, "num_train_epochs": 5.0, "model_options": {"a": 1}, "dataset": "demo"}
    assert given == {**expected, "item_dropout": 0.5}
    line = ["--task_weights", '{"seq": 1}', "--lora_target_modules", "q_proj", "v_proj", "--use_peft", "--no_memory"]
    expected = {"task_weights": {"seq": 1}, "lora_target_modules": ["q_proj", "v_proj"], "use_peft": True}
    assert given_options((TuneArguments, *KINDS["lcrec"]), line) == {**expected, "memory": False}


TINY = '{"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}'


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("method", ["galrec", "lcrec"])
def test_language_models(folder, index, method, tmp_path):
    index.save_pretrained(tmp_path / "index")
    own = {"lcrec": ["--index", str(tmp_path / "index")], "galrec": ["--teacher_options", '{"max_steps": 2}']}[method]
    options = ["--dataset", str(folder / "data"), "--output_dir", str(tmp_path / "out"), "--backbone_overrides", TINY]
    options += ["--max_steps", "4", "--eval_strategy", "steps", "--eval_steps", "2", "--eval_users", "20"]
    assert main(["tune", method, *options, *own, "--num_trials", "2", "--use_cpu", "True"]) == 0
    report = json.loads((tmp_path / "out/trials.json").read_text())
    first, other = sorted(report["trials"], key=lambda each: each["number"])
    assert first["state"] == other["state"] == "complete" and list(other["evaluations"]) == ["50", "100"]
    assert set(other["params"]) == set(report["space"])
    known = {name for name in first["params"] if first["params"][name] is not None}
    assert known == set(report["space"]), "the defaults of all options are known"
    # The options give the same metric, also without the teacher that the trials shared.
    again = ["--dataset", str(folder / "data"), "--output_dir", str(tmp_path / "again")]
    assert main(["train", method, "--config", str(tmp_path / "out/best.yaml"), *again]) == 0
    metric = json.loads((tmp_path / "again/training_report.json").read_text())["validation"]["ndcg@10"]
    assert metric == report["trials"][0]["value"]
    assert (tmp_path / "out/teacher").is_dir() == (method == "galrec")
