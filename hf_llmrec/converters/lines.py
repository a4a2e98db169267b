"""Lines of raw files, compressed or not."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import math
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from .notes import ReadingNotes

Row = TypeVar("Row")
_BAD_LINE = (
    *(ValueError, KeyError, TypeError, IndexError, SyntaxError, AttributeError, OverflowError),
    *(RecursionError, MemoryError, csv.Error),  # what literals and quotes without an end lead to
)
# Broken off, broken, encrypted, compressed in a way that is not known here.
_BAD_FILE = (EOFError, OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError)
# What `surrogateescape` makes of bytes that are not UTF-8.
_UNDECODED = re.compile("[\udc80-\udcff]")
_ENCODINGS = {"utf-8-sig": "UTF-8", "latin-1": "Latin-1"}


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
def open_bytes(path: RawFile) -> Iterator[io.BufferedIOBase]:
    """A file's bytes; ``.gz`` and ``.bz2`` are read as they are, in archives, too."""
    with path.open("rb") as raw, _READERS.get(path.suffix, lambda file, mode: file)(raw, "rb") as plain:
        yield plain


def file_encoding(path: RawFile, older: str | None) -> str:
    """The encoding of a text file: UTF-8, or an older one if most lines with letters beyond ASCII are not UTF-8.

    Args:
        path: the file; it is read to its end if there is an older encoding to tell from.
        older: the encoding of the publisher's first releases, ``None``: it has always been UTF-8.
    """
    utf8 = other = 0
    if older is not None:
        with open_bytes(path) as file:
            for line in file:
                if not line.isascii():
                    is_utf8 = _is_utf8(line)
                    utf8, other = utf8 + is_utf8, other + (not is_utf8)
    return older if other > utf8 else "utf-8-sig"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def check_row(row: tuple | None) -> None:
    """What no table can hold.

    Raises:
        ValueError: half a character, or a number that is none.
    """
    for value in row or ():
        if isinstance(value, str):
            if not value.isascii():
                value.encode("utf-8")
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"no number: {value}")


def parsed_lines(
    path: RawFile, parse: Callable[[str], Row | None], notes: ReadingNotes, older_encoding: str | None = None
) -> Iterator[Row]:
    """What ``parse`` makes of each line that is not empty.

    Args:
        path: the file.
        parse: gives a row, ``None`` for a line that holds none, or raises for one that it cannot read.
        notes: takes the lines that cannot be read, and the encoding where there is a choice.
        older_encoding: see `file_encoding`.

    Raises:
        ValueError: the file is cut off or broken, is not what it should be, or there are too many bad lines.
    """
    number = 0
    try:
        encoding = file_encoding(path, older_encoding)
        with open_bytes(path) as plain:
            file = io.TextIOWrapper(plain, encoding=encoding, errors="surrogateescape", newline="\n")
            for number, line in enumerate(file, start=1):
                line = line.rstrip("\r\n")
                if not line:
                    continue
                try:
                    if not line.isascii():
                        _check_decoded(line)
                        if older_encoding is not None:
                            notes.remark(f"{path.name}: read as {_ENCODINGS[encoding]}")
                    row = parse(line)
                    check_row(row)
                except WrongFileError as error:
                    raise WrongFileError(f"{path}: {error}") from None
                except _BAD_LINE as error:
                    reason = f"no {error}" if isinstance(error, KeyError) else error
                    notes.bad_line(path, number, reason)
                    continue
                if row is not None:
                    yield row
    except _BAD_FILE as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path}: cannot be read after line {number}: {error}") from error


def _check_decoded(line: str) -> None:
    if found := _UNDECODED.search(line):
        byte = ord(found[0]) - 0xDC00
        raise ValueError(f"not UTF-8: byte 0x{byte:02x} at character {found.start() + 1}")
