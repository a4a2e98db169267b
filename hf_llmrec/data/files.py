"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write UTF-8 text under a temporary name in the same folder, then rename."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        _share(temporary)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _share(path: str | os.PathLike) -> None:
    """Temporary files are the owner's alone; a served model folder is read by others, as `open` would have it."""
    os.umask(umask := os.umask(0))
    os.chmod(path, 0o666 & ~umask)


@contextmanager
def staged(folder: str | os.PathLike) -> Iterator[Path]:
    """A hidden folder inside ``folder``; what it holds at the end moves to ``folder``, and nothing after an error.

    For writers of several or large files: a reader finds the old ones or the new ones, each complete.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder, prefix=".staging-"))
    try:
        yield staging
        move_files(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def move_files(staging: Path, folder: Path) -> None:
    """Rename each file of ``staging`` into ``folder``, readable as ordinary files are."""
    for file in sorted(path for path in staging.rglob("*") if path.is_file()):
        _share(file)
        target = folder / file.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False) + "\n")


def read_json(path: str | os.PathLike) -> Any:
    """Read JSON; a broken file, or an object with the same key twice, is a ValueError that names the file."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            seen: set[str] = set()
            raise ValueError(f"the key {next(key for key, _ in pairs if key in seen or seen.add(key))!r} occurs twice")
        return value

    with open(path, encoding="utf-8") as stream:
        try:
            return json.load(stream, object_pairs_hook=unique)
        except ValueError as error:  # JSON and Unicode errors are ValueErrors
            raise ValueError(f"{path}: not valid JSON ({error})") from error
