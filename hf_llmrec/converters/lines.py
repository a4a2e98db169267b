"""Lines of raw files, compressed or not, and a count of those that cannot be read."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

Row = TypeVar("Row")
_SHOWN = 5
_BAD_LINE = (
    *(ValueError, KeyError, TypeError, IndexError, SyntaxError, AttributeError, OverflowError),
    *(RecursionError, MemoryError, csv.Error),  # what literals and quotes without an end lead to
)
# Broken off, broken, encrypted, compressed in a way that is not known here.
_BAD_FILE = (EOFError, OSError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError)
_LAST_TIME = 2**62


class WrongFileError(ValueError):
    """A file that is not what it should be, as against a line of it."""


RawFile = Path | zipfile.Path
_READERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open}


def raw_files(inputs: Sequence[str | os.PathLike]) -> list[RawFile]:
    """Files, those in folders, and those in ``.zip`` archives, sorted by name within each.

    Raises:
        FileNotFoundError: an input is not there.
        ValueError: an archive that cannot be read.
    """
    found: list[RawFile] = []
    for path in map(Path, inputs):
        if not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file or folder")
        for file in sorted(filter(_is_raw, path.iterdir())) if path.is_dir() else [path]:
            found += _members(file) if file.suffix == ".zip" else [file]
    return found


def _is_raw(path: Path) -> bool:
    """Whether it may be a publisher's file: hidden ones are not, nor what a download leaves beside them."""
    return path.is_file() and not path.name.startswith(".") and path.suffix not in (".part", ".sha256")


def _members(path: Path) -> list[RawFile]:
    try:
        archive = zipfile.ZipFile(path)  # open as long as a member is: all of them share it
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: cannot be read: {error}") from error
    return [zipfile.Path(archive, name) for name in sorted(archive.namelist()) if not name.endswith("/")]


@contextmanager
def open_text(path: RawFile, encoding: str = "utf-8-sig") -> Iterator[io.TextIOBase]:
    """A text file; ``.gz`` and ``.bz2`` are read as they are, in archives, too."""
    with path.open("rb") as raw, _READERS.get(path.suffix, lambda file, mode: file)(raw, "rb") as plain:
        yield io.TextIOWrapper(plain, encoding=encoding, newline="\n")


class BadLines:
    """Lines that could not be read: counted, the first of them kept, and too many are an error.

    Args:
        limit: how many are skipped.
    """

    def __init__(self, limit: int):
        self.limit, self.count = limit, 0
        self.examples: list[str] = []

    def add(self, path: RawFile, number: int, reason: object) -> None:
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


def check_row(row: tuple | None) -> None:
    """What no table can hold.

    Raises:
        ValueError: half a character, or a time beyond all calendars.
    """
    for value in row or ():
        if isinstance(value, str):
            if not value.isascii():
                value.encode("utf-8")
        elif isinstance(value, int) and abs(value) > _LAST_TIME:
            raise ValueError(f"no time: {value}")


def parsed_lines(
    path: RawFile, parse: Callable[[str], Row | None], bad: BadLines, encoding: str = "utf-8-sig"
) -> Iterator[Row]:
    """What ``parse`` makes of each line that is not empty.

    Args:
        parse: gives a row, ``None`` for a line that holds none, or raises for one that it cannot read.
        bad: counts those. encoding: of the file.

    Raises:
        ValueError: the file is cut off or no text, or there are too many bad lines.
    """
    number = 0
    try:
        with open_text(path, encoding) as file:
            for number, line in enumerate(file, start=1):
                line = line.rstrip("\r\n")
                if not line:
                    continue
                try:
                    row = parse(line)
                    check_row(row)
                except WrongFileError as error:
                    raise WrongFileError(f"{path}: {error}") from None
                except _BAD_LINE as error:
                    reason = f"no {error}" if isinstance(error, KeyError) else error
                    bad.add(path, number, reason)
                    continue
                if row is not None:
                    yield row
    except _BAD_FILE as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path}: cannot be read after line {number}: {error}") from error
