"""Why the training of a trial of ``tune`` failed, in one line."""

from __future__ import annotations

import re
from pathlib import Path

_LINE = re.compile(r"hf-llmrec train \w+: ")


def failure_of(log: Path, began: int, code: int) -> str:
    """What the training command says of its failure, or else the last line of its log.

    Args:
        log: what the process wrote to its standard error.
        began: position in the file where the process began to write.
        code: exit status of the process, not 0; negative if a signal ended it.
    """
    if code < 0:
        return f"the process was ended by signal {-code}{' (perhaps for lack of memory)' if code == -9 else ''}"
    with open(log, encoding="utf-8", errors="replace") as stream:
        stream.seek(began)
        lines = [line.strip() for line in stream if line.strip()]
    said = [line for line in lines if _LINE.match(line)]
    return (said or lines or [f"exit status {code}"])[-1]
