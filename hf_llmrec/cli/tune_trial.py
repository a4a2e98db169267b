"""The process of a trial of ``tune``: ``python -m hf_llmrec.cli.tune_trial METRIC METHOD OPTIONS``.

It runs ``train METHOD OPTIONS``. Messages, JSON lines, go to its standard output, and each one waits for a line as the
answer: the process that searches ends this one if the trial is given up.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from typing import Any

from ..cli import main
from ..training.added_callbacks import added_callbacks
from ..tuning.trials import TrialCallback


def _listen(answers: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        answers.put(line)
    os._exit(1)  # the other end of the pipe is closed: nobody waits for this trial


def _train(metric: str, argv: list[str]) -> int:
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed belongs to the log
    threading.Thread(target=_listen, args=(answers,), daemon=True).start()

    def send(**message: Any) -> None:
        print(json.dumps(message, default=str), file=channel, flush=True)
        answers.get()

    callback = TrialCallback(
        metric, lambda value, share: send(value=value, share=share), lambda options: send(options=options)
    )
    with added_callbacks(callback):
        return main(["train", *argv])


if __name__ == "__main__":
    sys.exit(_train(sys.argv[1], sys.argv[2:]))
