"""Work of the main process alone: the other one waits for longer than its process group would, and ends with it."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from .conftest import ROOT

pytestmark = pytest.mark.slow
PROGRAM = """
import sys, time
from datetime import timedelta
from accelerate import PartialState
from hf_llmrec.training.main_process import run_on_main_process
state = PartialState(cpu=True, backend="gloo", timeout=timedelta(seconds=30))
def work():
    if sys.argv[1] == "fail":
        raise ValueError("no such thing")
    time.sleep(40)
    return "made"
print(state.process_index, run_on_main_process(work, "making something"))
"""


def two_processes(command: list[str], **more: str) -> list[subprocess.Popen]:
    """Both of a group that no launcher watches over: it would end the second one itself."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), **more}
    return [
        subprocess.Popen(
            command,
            env={**os.environ, **group, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]


def test_work_that_takes_longer_than_the_timeout_of_the_group():
    done = [process.communicate(timeout=300) for process in two_processes([sys.executable, "-c", PROGRAM, "work"])]
    assert [out.splitlines()[-1] for out, _ in done] == ["0 made", "1 None"], done


def test_work_that_fails_ends_both_with_a_reason():
    processes = two_processes([sys.executable, "-c", PROGRAM, "fail"])
    errors = [process.communicate(timeout=300)[1].strip().splitlines()[-1] for process in processes]
    assert errors[0].endswith("ValueError: no such thing") and all(process.returncode == 1 for process in processes)
    assert "ConnectionError: the main process failed while making something: see its log" in errors[1]


def of_teacher(folder: Path) -> list[psutil.Process]:
    """Processes that train the teacher in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if "hf_llmrec.cli.teacher" in words and str(folder) in words:
            found.append(process)
    return found


def until(is_so, seconds: float, what: str) -> None:
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.2)


def test_the_main_process_is_killed_while_it_trains_the_teacher(recipe, tmp_path):
    output, teacher = tmp_path / "out", tmp_path / "out-teacher"
    options = ["--external", "collaborative", "--max_steps", "3", "--use_cpu", "True", "--ddp_backend", "gloo"]
    options += ["--teacher_options", '{"num_train_epochs": 100000}', "--report_to", "none"]
    command = [sys.executable, str(ROOT / "recipes/train_galrec.py"), "--dataset", str(recipe.folder / "data")]
    first, second = two_processes(
        [*command, "--model_name_or_path", str(recipe.folder / "base"), "--output_dir", str(output), *options],
        HF_HUB_OFFLINE="1",
    )
    try:
        until(lambda: of_teacher(teacher), 300, "the start of the teacher's own process")
        first.kill()
        errors = second.communicate(timeout=60)[1]
        assert second.returncode not in (0, None)
        assert "\nhf-llmrec train galrec: the main process ended while it was training SASRec" in errors, errors
        until(lambda: not of_teacher(teacher), 30, "the end of the teacher's own process")
    finally:
        for process in (first, second, *of_teacher(teacher)):
            process.kill()
        first.communicate()
