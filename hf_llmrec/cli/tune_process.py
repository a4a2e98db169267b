"""Trains a trial of ``tune`` with the training command, in a process of its own."""

from __future__ import annotations

import json
import logging
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

import yaml

from ..data.files import read_json, write_text
from ..data.recommender_folder import TRAINING_REPORT
from ..tuning.trials import Trial
from .child_process import environment_outside_group
from .option_words import as_words
from .tune_failure import failure_of

logger = logging.getLogger("hf_llmrec")
# Seconds between two looks at the budget while nothing is reported.
_TICK = 1.0


def train_trial(method: str, trial: Trial, *, places: Mapping[str, Any]) -> float:
    """Run ``train METHOD`` with the options of a trial, or resume it.

    Beside the recommender's folder are written: ``options.yaml``, ``log.txt`` and the training report.

    Args:
        method: what to train.
        trial: gives the options, and takes the evaluations.
        places: further options, which name places.

    Returns:
        the validation metric of the saved recommender.

    Raises:
        RuntimeError: the training failed; has its message.
        TrialPruned: the trial was given up.
        TrialStopped: the budget was spent.
    """
    folder = trial.folder.parent
    write_text(folder / "options.yaml", yaml.safe_dump(trial.options, sort_keys=False, allow_unicode=True))
    options = {"config": folder / "options.yaml", **places, "output_dir": trial.folder, "resume": True}
    command = [
        sys.executable,
        "-m",
        "hf_llmrec.cli.tune_trial",
        trial.metric,
        method,
        *as_words({**options, "disable_tqdm": True}),
    ]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    pipes["env"] = environment_outside_group()
    with open(folder / "log.txt", "a", encoding="utf-8") as log:
        began = log.tell()
        with subprocess.Popen(command, stderr=log, **pipes) as process:
            try:
                _follow(process, trial)
                code = process.wait()
            finally:
                process.kill()
    if code:
        raise RuntimeError(failure_of(folder / "log.txt", began, code))
    shutil.copy(trial.folder / TRAINING_REPORT, folder / TRAINING_REPORT)
    return read_json(folder / TRAINING_REPORT)["validation"][trial.metric]


def _follow(process: subprocess.Popen[str], trial: Trial) -> None:
    """Answer each message of the process, until there are no more; it waits for the answer."""
    assert process.stdout is not None and process.stdin is not None
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=_TICK)
        except queue.Empty:
            trial.check()
            if process.poll() is None:
                continue
            line = ""  # processes that it has started may hold the pipe open
        if not line:
            return
        message = json.loads(line)
        if "options" in message:
            trial.learn(message["options"])
        else:
            trial.report(message["value"], message["share"])
            logger.info("trial %d: %.4f after %.0f %%", trial.number, message["value"], 100 * message["share"])
        with suppress(BrokenPipeError):  # it was killed; its exit status says so
            process.stdin.write("\n")
            process.stdin.flush()


def _read(stream: IO[str], lines: queue.SimpleQueue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")
