"""LC-Rec training in two processes, and killed with SIGKILL: the losses of one process that nobody disturbed."""

import json
import subprocess
import time

import psutil
import pytest

from hf_llmrec.evaluation.evaluator import evaluate_ranker
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.lcrec.repeat_bias import fit_repeat_bias

from .conftest import MODES

pytestmark = pytest.mark.slow
STEPS = ["--max_steps", "8", "--save_strategy", "no"]


@pytest.fixture(scope="module")
def one_process(recipe, tmp_path_factory):
    """Losses of one process that accumulates two batches: what two processes see in one step."""
    folder, found = tmp_path_factory.mktemp("one"), {}

    def losses(mode: str) -> dict[int, float]:
        if mode not in found:
            options = [*STEPS, *MODES[mode], "--gradient_accumulation_steps", "2"]
            found[mode] = recipe.losses(folder / mode, options)
        return found[mode]

    return losses


# FSDP2 refuses the index rows of tied embeddings: tried with untied ones, below.
COMBINATIONS = [
    pytest.param(launcher, mode, marks=pytest.mark.ci if (launcher, mode) == ("ddp", "full") else ())
    for launcher in ("ddp", "zero2", "zero3", "fsdp2")
    for mode in MODES
    if (launcher, mode) != ("fsdp2", "lora_rows")
]


@pytest.mark.parametrize("launcher, mode", COMBINATIONS)
def test_two_processes_give_the_losses_of_one(recipe, one_process, dataset, tmp_path, request, launcher, mode):
    two = recipe.losses(tmp_path / "two", [*STEPS, *MODES[mode]], request.getfixturevalue(launcher))
    assert len(two) == 8
    assert two == pytest.approx(one_process(mode), rel=1e-4)
    # What was saved is what was trained: merged, gathered, and ranked here in one process.
    report = json.loads((tmp_path / "two" / "training_report.json").read_text())
    cases = dataset.split().validation.sample(10, seed=0)
    saved = evaluate_ranker(AutoRecommender.from_pretrained(tmp_path / "two"), cases, dataset.item_ids).metrics
    assert saved == pytest.approx(report["validation"])
    # Both processes fitted the bias of the history's items together.
    opened = AutoRecommender.from_pretrained(tmp_path / "two")
    bias = opened.repeat_bias
    assert bias and fit_repeat_bias(opened, cases) == pytest.approx(bias, rel=1e-3)
    assert not (tmp_path / "two" / "training_args.bin").exists()


@pytest.mark.parametrize("launcher", ["zero3", "fsdp2"])
def test_index_rows_of_untied_embeddings(recipe, tmp_path, request, launcher):
    options = ["--model_name_or_path", str(recipe.folder / "untied"), *MODES["lora_rows"], *STEPS]
    two = recipe.losses(tmp_path / "two", options, request.getfixturevalue(launcher))
    one = recipe.losses(tmp_path / "one", [*options, "--gradient_accumulation_steps", "2"])
    assert len(two) == 8 and two == pytest.approx(one, rel=1e-4)


def test_fsdp2_refuses_index_rows_of_tied_embeddings_and_takes_whole_matrices(recipe, tmp_path, fsdp2):
    options = [*MODES["lora_rows"], "--max_steps", "2", "--save_strategy", "no"]
    command = recipe.command(tmp_path / "rows", options, fsdp2)
    done = subprocess.run(command, capture_output=True, text=True, env=recipe.environment(), timeout=300)
    assert done.returncode and "use --train_index_rows all" in done.stderr
    assert len(recipe.losses(tmp_path / "all", [*options, "--train_index_rows", "all"], fsdp2)) == 2


def kill_tree(process: subprocess.Popen) -> None:
    """SIGKILL a launcher and what it started: workers have sessions of their own, and would go on."""
    started = psutil.Process(process.pid).children(recursive=True)
    for each in (psutil.Process(process.pid), *started):
        each.kill()
    process.wait()
    psutil.wait_procs(started, timeout=60)


def run_and_kill(recipe, output, options, launcher, after: str) -> None:
    """Start training and SIGKILL all its processes once a checkpoint is complete."""
    process = subprocess.Popen(
        recipe.command(output, options, launcher),
        env=recipe.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while not (output / after / "trainer_state.json").exists():
        assert process.poll() is None and time.monotonic() < deadline, "training ended before it could be killed"
        time.sleep(0.02)
    kill_tree(process)
    assert not (output / "model.safetensors").exists()


@pytest.mark.parametrize("launcher", [None, pytest.param("ddp", marks=pytest.mark.ci), "zero2", "zero3", "fsdp2"])
def test_killed_for_good_and_resumed_gives_the_same_losses(recipe, tmp_path, request, launcher):
    config = request.getfixturevalue(launcher) if launcher else ()
    options = ["--max_steps", "60", "--save_steps", "6", "--save_total_limit", "1", "--item_dropout", "0.2"]
    options += ["--embedding_dropout", "0.1"]
    whole = recipe.losses(tmp_path / "whole", options, config)
    run_and_kill(recipe, tmp_path / "killed", options, config, "checkpoint-12")
    resumed = recipe.losses(tmp_path / "killed", [*options, "--resume", "True"], config)
    assert len(resumed) == len(whole) == 60
    assert resumed == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("mode", ["full", "lora_rows"])
def test_row_warmup_in_two_processes(recipe, tmp_path, ddp, mode):
    options = [*STEPS, *MODES[mode], "--warmup_rows_steps", "4"]
    two = recipe.losses(tmp_path / "two", options, ddp)
    one = recipe.losses(tmp_path / "one", [*options, "--gradient_accumulation_steps", "2"])
    assert len(two) == 8 and two == pytest.approx(one, rel=1e-4)


def test_row_warmup_is_refused_where_gradients_are_sharded(recipe, tmp_path, zero2):
    command = recipe.command(tmp_path / "out", [*STEPS, "--warmup_rows_steps", "4"], zero2)
    done = subprocess.run(command, capture_output=True, text=True, env=recipe.environment(), timeout=300)
    assert done.returncode and "--warmup_rows_steps: gradients are sharded by zero2" in done.stderr
