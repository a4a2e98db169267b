"""Reads the lines of raw files, compressed or not."""

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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from .notes import ReadingNotes

Row = TypeVar("Row", bound=Iterable[Any])
_BAD_LINE = (
    *(ValueError, KeyError, TypeError, IndexError, SyntaxError, AttributeError, OverflowError),
    *(RecursionError, MemoryError, csv.Error),  # raised for unterminated literals and quotes
)
# Raised for files that are truncated, damaged, encrypted, or compressed with an unsupported method.
_BAD_FILE = (EOFError, OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError)
# What `surrogateescape` decodes bytes to that are not UTF-8.
_UNDECODED = re.compile("[\udc80-\udcff]")
_ENCODINGS = {"utf-8-sig": "UTF-8", "latin-1": "Latin-1"}


class WrongFileError(ValueError):
    """A file has the wrong format, in contrast to a single bad line."""


RawFile = Path | zipfile.Path
_READERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open}


def raw_files(inputs: Sequence[str | os.PathLike]) -> list[RawFile]:
    """List files, including those in folders and ``.zip`` archives, sorted by name within each.

    Args:
        inputs: files, folders and archives.

    Raises:
        FileNotFoundError: an input does not exist.
        ValueError: an archive cannot be read.
    """
    files: list[RawFile] = []
    for path in map(Path, inputs):
        if not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file or folder")
        for file in sorted(filter(_is_raw, path.iterdir())) if path.is_dir() else [path]:
            files += _members(file) if file.suffix == ".zip" else [file]
    return files


def _is_raw(path: Path) -> bool:
    """Whether a path may be a publisher's file: not hidden, and not an auxiliary file of a download."""
    return path.is_file() and not path.name.startswith(".") and path.suffix not in (".part", ".sha256")


def _members(path: Path) -> list[RawFile]:
    try:
        archive = zipfile.ZipFile(path)  # stays open: its members share it
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: cannot be read: {error}") from error
    return [zipfile.Path(archive, name) for name in sorted(archive.namelist()) if not name.endswith("/")]


@contextmanager
def open_bytes(path: RawFile) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes; ``.gz`` and ``.bz2`` files are decompressed, in archives, too.

    Args:
        path: file, or member of an archive.
    """
    with path.open("rb") as raw, _READERS.get(path.suffix, lambda file, mode: file)(raw, "rb") as plain:
        yield plain


def file_encoding(path: RawFile, older: str | None) -> str:
    """Detect the encoding of a text file: UTF-8, or an older one if most lines with non-ASCII letters are not UTF-8.

    Args:
        path: the file; it is read to its end if there are two encodings to choose from.
        older: encoding of the publisher's first releases; ``None``: all releases are UTF-8.
    """
    if older is None:
        return "utf-8-sig"
    utf8 = other = 0
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


def check_row(row: Iterable[Any] | None) -> None:
    """Refuse values that a table cannot hold.

    Args:
        row: values of a row; ``None``: no row.

    Raises:
        ValueError: a text with an unpaired surrogate, or a number that is not finite.
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
    """Parse all lines of a file that are not empty.

    Args:
        path: the file.
        parse: returns the row of a line, or ``None`` if the line holds none; raises if the line cannot be read.
        notes: receives the lines that cannot be read, and the encoding if there are two to choose from.
        older_encoding: encoding of the publisher's first releases; ``None``: all releases are UTF-8. See
            `file_encoding`.

    Raises:
        ValueError: the file is truncated, damaged or of the wrong format, or there are too many bad lines.
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
    if match := _UNDECODED.search(line):
        byte = ord(match[0]) - 0xDC00
        raise ValueError(f"not UTF-8: byte 0x{byte:02x} at character {match.start() + 1}")
