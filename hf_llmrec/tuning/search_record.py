"""Keeps the trials of different searches, and different processes, apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..data.files import read_json, write_json

RECORD = "search.json"
# Files up to this size are compared by content, larger ones by size.
_COMPARED = 64 * 2**20


def file_facts(options: Mapping[str, Any]) -> dict[str, str]:
    """Compute a digest of each file and folder that an option names, so that changed ones are noticed.

    Args:
        options: values by name; texts that are no existing paths are left out.

    Returns:
        16 hexadecimal digits by option, of the contents; of files over 64 MiB of their size.
    """
    facts = {}
    for name, value in options.items():
        path = Path(value) if isinstance(value, str) and value else None
        if path is None or not path.exists():
            continue
        digest = hashlib.sha256()
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                size = file.stat().st_size
                digest.update(f"{file.relative_to(path)} {size} ".encode())
                digest.update(file.read_bytes() if size <= _COMPARED else b"")
        facts[name] = digest.hexdigest()[:16]
    return facts


@contextmanager
def the_only_search(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder of a search inside the block; the system frees it if the process is killed.

    Args:
        folder: of the search; created if needed.

    Raises:
        ValueError: another process holds it.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ValueError(f"output_dir {folder}: another process searches here") from error
    try:
        yield
    finally:
        lock.release()


def check_same_search(folder: Path, record: Mapping[str, Any]) -> None:
    """Write what a search consists of, or compare it with that of the search that the folder already has.

    Args:
        folder: of the search.
        record: metric, seed, space, options and facts; JSON values.

    Raises:
        ValueError: the folder has another search; names what differs.
    """
    file, record = folder / RECORD, json.loads(json.dumps(record, default=str))
    if not file.is_file():
        write_json(file, record)
        return
    earlier = read_json(file)
    differences = [
        difference
        for name in sorted(set(earlier) | set(record))
        for difference in _differences(name, earlier.get(name), record.get(name))
    ]
    if differences:
        raise ValueError(
            f"output_dir {folder} has the trials of another search, and these cannot be compared: "
            f"{'; '.join(differences)}. Search with what it was begun with, or in another folder"
        )


def _differences(name: str, before: Any, now: Any) -> list[str]:
    """In words; of two mappings, those of their entries."""
    if before == now:
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        names = [*before, *(each for each in now if each not in before)]
        return [words for each in names for words in _differences(f"{name}.{each}", before.get(each), now.get(each))]
    before, now = ("not set" if value is None else json.dumps(value) for value in (before, now))
    return [f"{name} was {before}, is {now}"]
