"""A process that fails among others: it says what to do, and nobody waits for it."""

import subprocess

import pytest

# The recipe in all processes; in the second one memory ends in a training step, while the first waits for gradients.
PROGRAM = """
import os, sys
from hf_llmrec.cli import main
from hf_llmrec.trainers.lcrec_trainer import LCRecTrainer
if os.environ["RANK"] == "1":
    def training_step(*arguments, **options):
        raise MemoryError("this process has no more")
    LCRecTrainer.training_step = training_step
sys.exit(main(["train", "lcrec", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_one_process_of_two_runs_out_of_memory(recipe, ddp, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = recipe.command(tmp_path / "out", ["--max_steps", "3"], ddp)
    command[command.index(next(word for word in command if word.endswith("train_lcrec.py")))] = str(program)
    done = subprocess.run(command, capture_output=True, text=True, env=recipe.environment(), timeout=120)
    lines = [line for line in done.stderr.splitlines() if line.startswith("hf-llmrec ")]
    assert done.returncode != 0
    assert any(line.startswith("hf-llmrec train lcrec: out of memory: lower --tokens_per_batch") for line in lines)
    assert "this process has no more" in done.stderr
