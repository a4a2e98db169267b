"""Which checkpoint a killed run goes on from."""

from __future__ import annotations

import json
import logging
import os
import re
import zipfile
from pathlib import Path

from transformers.trainer import TRAINER_STATE_NAME

logger = logging.getLogger(__name__)
_CHECKPOINT = re.compile(r"^checkpoint-(\d+)$")


def last_complete_checkpoint(output_dir: str | os.PathLike, num_processes: int = 1) -> str | None:
    """The latest checkpoint of a run that was written to its end; ``None`` if there is none.

    A process that is killed while it saves leaves a folder without the trainer's state, which comes last, or without
    the random states of other processes, which write at their own pace.

    Args:
        output_dir: of the run. num_processes: of the run that resumes, as many as of the one that was killed.
    """
    folder = Path(output_dir)
    found = [path for path in folder.iterdir() if _CHECKPOINT.match(path.name)] if folder.is_dir() else []
    for path in sorted(found, key=lambda path: int(path.name.split("-")[1]), reverse=True):
        if _is_complete(path, num_processes):
            return str(path)
        logger.warning("%s is not complete: the run was killed while it was written; an earlier one is used", path)
    return None


def _is_complete(path: Path, num_processes: int) -> bool:
    try:
        json.loads((path / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return False
    names = ["rng_state.pth"] if num_processes == 1 else [f"rng_state_{rank}.pth" for rank in range(num_processes)]
    # torch.save writes a zip archive whose directory comes last.
    return all(zipfile.is_zipfile(path / name) for name in names)
