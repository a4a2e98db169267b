"""`PartsFolder`: Parquet parts that are written one after the other, by runs that may be killed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from ..data.files import read_json, visible_files, write_json

VERSION = 1
# Readers of Parquet folders leave out what has a leading underscore; `datasets` does so for folders with two.
WORK_FOLDER, RUN_FILE, LOCK_FILE = "__run__", "run.json", "lock"
_ROWS_PER_GROUP = 16_384


class PartsFolder:
    """A folder of Parquet parts with the record of what they are made from.

    A part is written as ``__run__/_part-NUMBER.PROCESS`` and renamed when it is complete, so that what has the name of
    a part is one. The record of the run is ``__run__/run.json``. Readers of Parquet folders leave ``__run__`` out.

    Args:
        path: the folder; made if it does not exist.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._work = self.path / WORK_FOLDER
        self._lock = FileLock(self._work / LOCK_FILE)

    def lock(self) -> None:
        """Keep other runs out until `unlock` or the end of this process, however it ends.

        Raises:
            ValueError: another run is writing to the folder, or the path is a file.
        """
        try:
            self._work.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(f"{self.path} is a file: the output is a folder of parts") from error
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise ValueError(f"{self.path}: another run is writing to this folder") from error

    def unlock(self) -> None:
        """Let other runs in."""
        self._lock.release()

    def file(self, part: int, num_parts: int) -> Path:
        """The file of a part. Names have one width, so that their order is that of the parts.

        Args:
            part: number of the part, from 0.
            num_parts: how many parts there are.
        """
        return self.path / f"part-{part:0{max(5, len(str(num_parts - 1)))}}.parquet"

    def begin(self, run: dict[str, Any]) -> None:
        """Record what the parts are made from.

        Args:
            run: JSON values, see `check_run`.
        """
        write_json(self._work / RUN_FILE, {"version": VERSION, **run})

    def earlier_run(self) -> dict[str, Any] | None:
        """What `begin` recorded; ``None``: no run has begun here.

        Raises:
            ValueError: the record cannot be read, or there are Parquet files of no run.
        """
        file = self._work / RUN_FILE
        if not file.is_file():
            others = visible_files(self.path.glob("*.parquet"))
            if others:
                raise ValueError(f"{others[0]} is of no run that is recorded in {file}: give another folder")
            return None
        run = read_json(file)
        if not isinstance(run, dict) or run.get("version") != VERSION:
            raise ValueError(f"{file}: not the record of a run that this version of hf_llmrec reads")
        return run

    def missing(self, lengths: Iterable[int]) -> list[int]:
        """Numbers of the parts that are still to be written.

        Args:
            lengths: number of rows of each part.

        Raises:
            ValueError: a part is damaged or has another number of rows, or there are other Parquet files.
        """
        expected = list(lengths)
        files = {self.file(part, len(expected)): rows for part, rows in enumerate(expected)}
        present = visible_files(self.path.glob("*.parquet"))
        for file in present:
            if file not in files:
                raise ValueError(f"{file} is no part of the run in this folder: move it elsewhere")
            try:
                rows = pq.read_metadata(file).num_rows
            except (pa.ArrowException, OSError) as error:
                raise ValueError(f"{file} is damaged: remove it, and it is written again ({error})") from error
            if rows != files[file]:
                raise ValueError(f"{file} has {rows} rows instead of {files[file]}: remove it, and it is written again")
        done = set(present)
        return [part for part, file in enumerate(files) if file not in done]

    def write(self, part: int, num_parts: int, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Write a part from batches, of which a bounded number is held in memory.

        Args:
            part: number of the part.
            num_parts: how many parts there are.
            schema: of the batches.
            batches: the rows of the part.

        Raises:
            OSError: it cannot be written, such as on a full disk.
        """
        target = self.file(part, num_parts)
        temporary = self._work / f"_{target.stem}.{os.getpid()}"
        try:
            with open(temporary, "wb") as stream:
                with pq.ParquetWriter(stream, schema) as writer:
                    held: list[pa.RecordBatch] = []
                    for batch in batches:
                        held.append(batch)
                        if sum(map(len, held)) >= _ROWS_PER_GROUP:
                            writer.write_table(pa.Table.from_batches(held, schema))
                            held = []
                    if held:
                        writer.write_table(pa.Table.from_batches(held, schema))
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def remove_unfinished(self) -> None:
        """Remove what runs that were killed left of unfinished parts."""
        for file in self._work.glob("_part-*"):
            file.unlink(missing_ok=True)


def check_run(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to continue a run with another model, other input or other options.

    Args:
        folder: the folder of the run, for the message.
        before: the run in the folder: ``model`` with ``name`` and ``revision``, ``input`` with ``name`` and
            ``fingerprint``, ``options``.
        now: the run that would continue it.

    Raises:
        ValueError: they differ; the message says in what.
    """
    differences = []
    for kind, key in (("model", "revision"), ("input", "fingerprint")):
        if before[kind][key] != now[kind][key]:
            said = [f"{run[kind]['name']} ({key} {run[kind][key][:19]})" for run in (before, now)]
            differences.append(f"{kind}: {said[0]} before, {said[1]} now")
    options = {**before["options"], **now["options"]}
    for name in options:
        values = [run["options"].get(name) for run in (before, now)]
        if values[0] != values[1]:
            differences.append(f"{name}: {values[0]!r:.60} before, {values[1]!r:.60} now")
    if differences:
        raise ValueError(
            f"{folder} holds recommendations of another run ({'; '.join(differences)}): give another folder, or remove "
            "this one"
        )
