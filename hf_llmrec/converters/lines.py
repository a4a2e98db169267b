"""Lines of raw files, compressed or not, and a count of those that cannot be read."""

from __future__ import annotations

import bz2
import gzip
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

Row = TypeVar("Row")
_SHOWN = 5


class WrongFileError(ValueError):
    """A file that is not what it should be, as against a line of it."""


@contextmanager
def open_text(path: Path) -> Iterator[io.TextIOBase]:
    """A text file in UTF-8; ``.gz``, ``.bz2`` and ``.zip`` (of one file) are read as they are.

    Raises:
        ValueError: a ``.zip`` of several files.
    """
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            if len(names) != 1:
                raise ValueError(f"{path}: holds {len(names)} files; unpack it and give those to read")
            with archive.open(names[0]) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig") as file:
                yield file
    else:
        opened: Callable[..., Any] = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix, open)
        with opened(path, "rt", encoding="utf-8-sig", newline="\n") as file:
            yield file


class BadLines:
    """Lines that could not be read: counted, the first of them kept, and too many are an error.

    Args:
        limit: how many are skipped.
    """

    def __init__(self, limit: int):
        self.limit, self.count = limit, 0
        self.examples: list[str] = []

    def add(self, path: Path, number: int, reason: object) -> None:
        """Note a line.

        Raises:
            ValueError: there are more than the limit.
        """
        self.count += 1
        if len(self.examples) < _SHOWN:
            self.examples.append(f"{path.name}, line {number}: {reason}")
        if self.count > self.limit:
            shown = "; ".join(self.examples)
            raise ValueError(f"{path}: more than {self.limit} lines cannot be read (--max_bad_lines): {shown}")


def parsed_lines(path: Path, parse: Callable[[str], Row | None], bad: BadLines) -> Iterator[Row]:
    """What ``parse`` makes of each line that is not empty.

    Args:
        parse: gives a row, ``None`` for a line that holds none, or raises for one that it cannot read.
        bad: counts those.

    Raises:
        ValueError: the file is cut off or no text, or there are too many bad lines.
    """
    number = 0
    try:
        with open_text(path) as file:
            for number, line in enumerate(file, start=1):
                line = line.rstrip("\r\n")
                if not line:
                    continue
                try:
                    row = parse(line)
                except WrongFileError as error:
                    raise WrongFileError(f"{path}: {error}") from None
                except (ValueError, KeyError, TypeError, IndexError, SyntaxError, AttributeError) as error:
                    reason = f"no {error}" if isinstance(error, KeyError) else error
                    bad.add(path, number, reason)
                    continue
                if row is not None:
                    yield row
    except (EOFError, OSError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path}: cannot be read after line {number}: {error}") from error
