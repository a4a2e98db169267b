"""A process that fails among others: it says what to do, and nobody waits for it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from hf_llmrec.data.item_index import ItemIndex

from .conftest import ROOT, Recipe

# The recipe in all processes; in the second one memory ends in a training step, while the first waits for gradients.
PROGRAM = """
import os, sys
from hf_llmrec.cli import main
from hf_llmrec.methods.lcrec.trainer import LCRecTrainer
if os.environ["RANK"] == "1":
    def training_step(*arguments, **options):
        raise MemoryError("this process has no more")
    LCRecTrainer.training_step = training_step
sys.exit(main(["train", "lcrec", *sys.argv[1:]]))
"""
# The loss of the second process's third step is no number.
DIVERGING = """
import os, sys
from hf_llmrec.cli import main
from hf_llmrec.training.divergence import DivergenceGuard
if os.environ["RANK"] == "1":
    observe = DivergenceGuard.observe
    def observe_nan(self, loss, step, fp16=False):
        observe(self, loss * float("nan") if step == 3 else loss, step, fp16)
    DivergenceGuard.observe = observe_nan
sys.exit(main(["train", "lcrec", *sys.argv[1:]]))
"""
pytestmark = pytest.mark.slow


def run_program(text: str, options: list[str], recipe: Recipe, ddp, folder) -> tuple[subprocess.CompletedProcess, list]:
    """The recipe with something changed in two processes; also what its commands say of themselves."""
    program = folder / "program.py"
    program.write_text(text)
    command = recipe.command(folder / "out", options, ddp)
    command[command.index(next(word for word in command if word.endswith("train_lcrec.py")))] = str(program)
    done = subprocess.run(command, capture_output=True, text=True, env=recipe.environment(), timeout=240)
    return done, [line for line in done.stderr.splitlines() if line.startswith("hf-llmrec ")]


def test_one_process_of_two_runs_out_of_memory(recipe, ddp, tmp_path):
    done, lines = run_program(PROGRAM, ["--max_steps", "3"], recipe, ddp, tmp_path)
    assert done.returncode != 0
    assert any(line.startswith("hf-llmrec train lcrec: out of memory: lower --tokens_per_batch") for line in lines)
    assert "this process has no more" in done.stderr


def test_one_process_of_two_diverges(recipe, ddp, tmp_path):
    """Both learn of it before the next save, and the checkpoint before it is named."""
    options = ["--max_steps", "6", "--save_strategy", "steps", "--save_steps", "2", "--logging_steps", "2"]
    done, lines = run_program(DIVERGING, options, recipe, ddp, tmp_path)
    assert done.returncode != 0
    found = [line for line in lines if "the training diverged: the loss of step 3 is nan" in line]
    # The launcher may end the second process before it has said so, too.
    assert found and all("the last good checkpoint is checkpoint-2 in" in line for line in found), lines
    assert sorted(path.name for path in (tmp_path / "out").glob("checkpoint-*")) == ["checkpoint-2"]
    assert not (tmp_path / "out/model.safetensors").exists()


def test_index_and_task_report_of_two_processes_are_those_of_one(recipe, ddp, tmp_path):
    """Work of the first process alone, while the second one waits."""
    data = ["--dataset", str(recipe.folder / "data")]
    found = {}
    for name, launcher in (("one", ()), ("two", ddp)):
        folder = tmp_path / name

        def run(script: str, *options: str, launcher=launcher) -> None:
            command = [sys.executable, *launcher, str(ROOT / "recipes" / script), *data, *options]
            done = subprocess.run(command, capture_output=True, text=True, env=recipe.environment(), timeout=240)
            assert done.returncode == 0, done.stderr[-4000:]

        run("build_index.py", "--output_dir", str(folder / "index"), "--levels", "3", "--codebook_size", "8")
        if name == "one":
            recipe.losses(tmp_path / "model", ["--max_steps", "2"])
        report = folder / "metrics.json"
        run("evaluate.py", "--model", str(tmp_path / "model"), "--tasks", "True", "--output", str(report))
        found[name] = ItemIndex.from_pretrained(folder / "index").codes, json.loads(report.read_text())
    (one, alone), (two, together) = found["one"], found["two"]
    assert np.array_equal(one, two)
    assert together["tasks"] == pytest.approx(alone["tasks"]) and len(alone["tasks"]) > 3
    assert together["ndcg@10"] == pytest.approx(alone["ndcg@10"])
