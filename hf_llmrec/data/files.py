"""Atomic writing of files: a reader never sees an incomplete one."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write UTF-8 text atomically: under a temporary name in the same folder, which is then renamed.

    Args:
        path: file to write; its folder is created if needed.
        text: content of the file.
    """
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
    """Give a temporary file, which only its owner may read, the permissions of one made by `open`."""
    os.umask(umask := os.umask(0))
    os.chmod(path, 0o666 & ~umask)


@contextmanager
def staged(folder: str | os.PathLike) -> Iterator[Path]:
    """Yield a hidden folder inside ``folder``; its files are moved to ``folder`` at the end, unless there was an error.

    For writing several or large files: a reader sees each file in its old or its new version, always complete.

    Args:
        folder: folder that receives the files; created if needed.
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
    """Move each file of ``staging`` to ``folder``, with the permissions of ordinary files.

    Args:
        staging: folder on the same file system; its subfolders are included.
        folder: folder that receives the files; files of the same name are replaced.
    """
    for file in sorted(path for path in staging.rglob("*") if path.is_file()):
        _share(file)
        target = folder / file.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write a value as indented JSON, atomically.

    Args:
        path: file to write.
        value: JSON-serialisable value.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False) + "\n")


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file.

    Args:
        path: file to read.

    Raises:
        ValueError: the file is not valid JSON, or an object has the same key twice. The message names the file.
    """

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


def visible_files(paths: Iterable[Path]) -> list[Path]:
    """The files, sorted by name, that readers of Parquet folders read: those without a leading ``_`` or dot.

    Args:
        paths: of one folder.
    """
    return sorted(path for path in paths if path.is_file() and path.name[0] not in "._")
