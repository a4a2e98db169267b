"""Reads the rows of CSV, TSV, JSON-lines and Parquet files with any columns as dictionaries."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .lines import RawFile, file_encoding, open_bytes, parsed_lines
from .notes import ReadingNotes
from .records import record

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_JSON = (".json", ".jsonl", ".ndjson")
_BATCH = 65_536


def table_rows(path: RawFile, needed: Sequence[str], notes: ReadingNotes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the rows of a file, with their numbers for error messages.

    Args:
        path: a ``.parquet`` file; a ``.json``, ``.jsonl`` or ``.ndjson`` file with an object per line; or a text file
            with separators and a header. The last two kinds may be compressed (``.gz``, ``.bz2``).
        needed: required columns; the separator of text files is detected by them.
        notes: receives the lines that cannot be read, and remarks on how the file was read.

    Returns:
        an iterator of numbers and rows; lines count from 1, rows of Parquet files from 0.

    Raises:
        ValueError: a column is missing, or the file cannot be read. The message names the file.
    """
    suffixes = PurePath(path.name).suffixes
    kind = next((suffix for suffix in reversed(suffixes) if suffix not in (".gz", ".bz2")), "").lower()
    if kind == ".parquet":
        return _parquet_rows(path, needed, notes)
    if kind in _JSON:
        return _json_rows(path, needed, notes)
    return _text_rows(path, needed, notes)


def _check(path: RawFile, needed: Sequence[str], names: Sequence[str]) -> None:
    missing = [name for name in needed if name not in names]
    if missing:
        raise ValueError(f"{path}: no column {missing[0]!r}; there are {', '.join(map(repr, names))}"[:600])


def _parquet_rows(path: RawFile, needed: Sequence[str], notes: ReadingNotes) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open("rb") as stream:
            file = pq.ParquetFile(stream)
            _check(path, needed, file.schema_arrow.names)
            notes.remark(f"{path.name}: Parquet")
            number = 0
            for batch in file.iter_batches(_BATCH):
                for row in batch.to_pylist():
                    yield number, {name: _plain(value) for name, value in row.items()}
                    number += 1
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: not a readable Parquet file ({error})") from error


def _plain(value: Any) -> Any:
    """Convert dates and times to ISO text, as they are in text files."""
    return value.isoformat() if isinstance(value, (date, datetime)) else value


def _json_rows(path: RawFile, needed: Sequence[str], notes: ReadingNotes) -> Iterator[tuple[int, dict[str, Any]]]:
    is_checked = False
    for number, row in enumerate(parsed_lines(path, record, notes), start=1):
        if not is_checked:  # in the other rows, missing values are empty
            _check(path, needed, list(row))
            notes.remark(f"{path.name}: an object per line")
            is_checked = True
        yield number, row


def _text_rows(path: RawFile, needed: Sequence[str], notes: ReadingNotes) -> Iterator[tuple[int, dict[str, Any]]]:
    encoding = file_encoding(path, "latin-1")
    with open_bytes(path) as plain:
        stream = io.TextIOWrapper(plain, encoding=encoding, newline="")
        header = stream.readline()
        separator = _separator(header.rstrip("\r\n"), needed)
        names = [name.strip() for name in next(csv.reader([header.rstrip("\r\n")], delimiter=separator), [])]
        _check(path, needed, names)
        older = "" if encoding.startswith("utf") else ", Latin-1"
        notes.remark(f"{path.name}: columns between {SEPARATORS[separator]}{older}")
        reader = csv.reader(stream, delimiter=separator)
        try:
            for values in reader:
                number = reader.line_num + 1  # the reader does not count the header
                if not values:
                    continue
                if len(values) != len(names):
                    notes.bad_line(path, number, f"{len(values)} fields instead of {len(names)}")
                    continue
                yield number, dict(zip(names, values, strict=True))
        except (csv.Error, UnicodeDecodeError, EOFError, OSError) as error:
            raise ValueError(f"{path}: cannot be read after line {reader.line_num + 1}: {error}") from error


def _separator(header: str, needed: Sequence[str]) -> str:
    """The separator with which the header has most of the needed columns; ties go to the one with more columns."""

    def quality(separator: str) -> tuple[int, int]:
        names = [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]
        return sum(name in names for name in needed), len(names)

    return max(SEPARATORS, key=quality)
