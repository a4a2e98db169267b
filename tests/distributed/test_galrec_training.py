"""GAL-Rec in two processes, and killed with SIGKILL: losses and queue of one process that nobody disturbed."""

import json

import pytest

from hf_llmrec.methods.galrec.losses import ALIGNMENTS

from .conftest import Recipe
from .test_lcrec_training import run_and_kill

pytestmark = pytest.mark.slow
COMMON = (
    *("--external", "text", "--learning_rate", "0.003", "--max_length", "256", "--num_neighbors", "3"),
    *("--queue_length", "40", "--momentum", "0.9", "--eval_users", "10", "--report_to", "none"),
    *("--use_cpu", "True", "--disable_tqdm", "True", "--logging_steps", "1", "--seed", "3"),
)
LORA = ["--use_peft", "True", "--lora_r", "4", "--lora_dropout", "0.0"]
MODES = {"full": [], "lora": LORA}
LOGGED = ["loss", "rec_loss", "history_loss", *(f"{name}_loss" for name in ALIGNMENTS)]
LOGGED += [f"{kind}_queue_{part}" for kind in ("user_0", "user_2", "item_0", "item_1") for part in ("fill", "age")]


@pytest.fixture(scope="module")
def galrec(recipe) -> Recipe:
    base = ("--model_name_or_path", str(recipe.folder / "base"))
    return Recipe(recipe.folder, "train_galrec.py", (*base, *COMMON))


def log_of(output) -> list[dict]:
    log = json.loads((output / "training_report.json").read_text())["log"]
    return [[entry[name] for name in LOGGED] for entry in log if "loss" in entry]


def assert_same(found, expected, steps, tolerance) -> None:
    assert len(found) == len(expected) == steps
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=tolerance, abs=1e-5)


def combinations(*launchers: str | None) -> list:
    """(launcher, mode), of which CI runs the two processes of ddp_cpu.yaml that train every weight."""
    return [
        pytest.param(launcher, mode, marks=pytest.mark.ci if (launcher, mode) == ("ddp", "full") else ())
        for launcher in launchers
        for mode in MODES
    ]


@pytest.mark.parametrize("launcher, mode", combinations("ddp", "zero2", "zero3", "fsdp2"))
def test_two_processes_give_the_losses_and_queue_of_one(galrec, tmp_path, request, launcher, mode):
    """60 examples: two processes with batches of 5 see what one with batches of 10 sees."""
    options = ["--max_steps", "14", "--save_strategy", "no", "--edges_per_user", "3", *MODES[mode]]
    galrec.losses(tmp_path / "one", [*options, "--per_device_train_batch_size", "10"])
    two = [*options, "--per_device_train_batch_size", "5"]
    galrec.losses(tmp_path / "two", two, request.getfixturevalue(launcher))
    assert_same(log_of(tmp_path / "two"), log_of(tmp_path / "one"), 14, 2e-4)
    reports = [json.loads((tmp_path / name / "training_report.json").read_text()) for name in ("one", "two")]
    assert reports[0]["validation"]["num_users"] == reports[1]["validation"]["num_users"] == 10


@pytest.mark.parametrize("launcher, mode", combinations(None, "ddp", "zero2", "zero3", "fsdp2"))
def test_killed_for_good_and_resumed_gives_the_same_losses(galrec, tmp_path, request, launcher, mode):
    config = request.getfixturevalue(launcher) if launcher else ()
    options = ["--max_steps", "60", "--save_steps", "6", "--save_total_limit", "1", "--item_dropout", "0.2"]
    options += ["--per_device_train_batch_size", "5", "--model_options", '{"embedding_dropout": 0.1}', *MODES[mode]]
    galrec.losses(tmp_path / "whole", options, config)
    run_and_kill(galrec, tmp_path / "killed", options, config, "checkpoint-12")
    galrec.losses(tmp_path / "killed", [*options, "--resume", "True"], config)
    assert_same(log_of(tmp_path / "killed"), log_of(tmp_path / "whole"), 60, 1e-4)


@pytest.mark.ci
def test_l_rec_is_the_mean_over_the_targets_of_all_processes_and_batches(galrec, tmp_path, ddp):
    """The first position of a bare sequence has a target as well: with one too few of each counted, the mean would be a
    tenth or more above both of its parts. (These are logged as means of the two batches' means: 2 % for that.)"""
    options = ["--max_steps", "4", "--save_strategy", "no", "--gradient_accumulation_steps", "2", "--template", "bare"]
    options += ["--loss_weights", json.dumps(dict.fromkeys(ALIGNMENTS, 0))]
    galrec.losses(tmp_path / "two", [*options, "--per_device_train_batch_size", "5"], ddp)
    log = json.loads((tmp_path / "two" / "training_report.json").read_text())["log"]
    steps = [(entry["loss"], entry["rec_loss"], entry["history_loss"]) for entry in log if "loss" in entry]
    assert len(steps) == 4
    for loss, *parts in steps:
        assert 0.98 * min(parts) <= loss <= 1.02 * max(parts)


def test_accumulated_batches(galrec, tmp_path, ddp):
    """Two processes, two batches each per step: it trains, and the queue takes the keys of all four."""
    options = ["--max_steps", "6", "--save_strategy", "no", "--gradient_accumulation_steps", "2"]
    galrec.losses(tmp_path / "two", [*options, "--per_device_train_batch_size", "5"], ddp)
    log = json.loads((tmp_path / "two" / "training_report.json").read_text())["log"]
    fills = [entry["item_0_queue_fill"] for entry in log if "loss" in entry]
    # Of the two batches of a step the mean is logged: 10 and then 20 of 40 places.
    assert fills[:3] == pytest.approx([0.375, 0.875, 1.0])


def test_the_teacher_is_trained_by_one_of_two_processes(recipe, tmp_path, ddp):
    options = ["--external", "both", "--max_steps", "3", "--save_strategy", "no"]
    options += ["--teacher_options", '{"max_steps": 4}']
    base = ("--model_name_or_path", str(recipe.folder / "base"), *COMMON[2:])
    galrec = Recipe(recipe.folder, "train_galrec.py", base)
    assert len(galrec.losses(tmp_path / "two", [*options, "--per_device_train_batch_size", "5"], ddp)) == 3
    assert (tmp_path / "two-teacher/embeddings.safetensors").exists()
