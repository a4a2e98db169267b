"""The checkpoint that an interrupted run resumes from."""

from __future__ import annotations

import json
import logging
import os
import re
import zipfile
from pathlib import Path

from transformers.trainer import TRAINER_STATE_NAME

from .run_record import RunRecord, processes

logger = logging.getLogger(__name__)
_CHECKPOINT = re.compile(r"^checkpoint-(\d+)$")


def checkpoints(output_dir: str | os.PathLike) -> list[Path]:
    """List the folders of checkpoints, complete or not, the latest step first.

    Args:
        output_dir: output folder of the run, which need not exist.
    """
    folder = Path(output_dir)
    paths = [path for path in folder.iterdir() if _CHECKPOINT.match(path.name)] if folder.is_dir() else []
    return sorted(paths, key=lambda path: int(path.name.split("-")[1]), reverse=True)


def last_complete_checkpoint(output_dir: str | os.PathLike, num_processes: int = 1) -> str | None:
    """The latest complete checkpoint of the latest run in a folder; ``None`` if there is none.

    A process that is killed while it saves leaves a folder without the trainer's state, which is written last, or
    without the random states of other processes, which write at their own pace.

    Args:
        output_dir: output folder of the run.
        num_processes: number of processes of the run that resumes.

    Raises:
        ValueError: the checkpoint was written by another number of processes, or holds the model only.
    """
    paths = checkpoints(output_dir)
    records = {path: record for path in paths if (record := RunRecord.load(path)) is not None}
    if records:
        latest = max(records.values(), key=lambda record: record.started)
        earlier = [path.name for path in paths if path in records and records[path].run_id != latest.run_id]
        earlier += [path.name for path in paths if path not in records and (path / TRAINER_STATE_NAME).is_file()]
        if earlier:
            logger.warning("%s: %s are of an earlier run and not looked at", output_dir, ", ".join(earlier))
        paths = [path for path in paths if path.name not in earlier]
    for path in paths:
        written_by = _written_by(path, records.get(path))
        if written_by is None:
            logger.warning("%s is not complete: the run was killed while it was written; an earlier one is used", path)
            continue
        if written_by == 0:
            raise ValueError(f"{path} holds the model only (--save_only_model True): no run can go on from it")
        if written_by != num_processes:
            raise ValueError(
                f"{path} cannot be resumed: it was written by {processes(written_by)}, this run has {num_processes}: "
                "resume with as many as before, or train anew without --resume in another --output_dir"
            )
        return str(path)
    return None


def _written_by(path: Path, record: RunRecord | None) -> int | None:
    """How many processes wrote a checkpoint, 0 if it holds a model only; ``None`` if it is not complete."""
    try:
        json.loads((path / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    # torch.save writes a zip archive whose directory comes last.
    states = {file.name for file in path.glob("rng_state*.pth") if zipfile.is_zipfile(file)}
    broken = {file.name for file in path.glob("rng_state*.pth")} - states
    if record is not None:
        if record.save_only_model:
            return 0
        count = record.num_processes
        # Others may be left from an earlier run that wrote to the same folder.
        expected = {"rng_state.pth"} if count == 1 else {f"rng_state_{rank}.pth" for rank in range(count)}
        return count if expected <= states else None
    # Version 0.1 recorded nothing. Its trainers waited for all random states before they wrote their own state.
    if not states and not broken:
        return 0
    if "rng_state.pth" in states:
        return 1
    return None if broken or states == {"rng_state_0.pth"} else len(states)
