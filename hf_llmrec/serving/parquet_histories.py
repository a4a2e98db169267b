"""`ParquetHistories`: histories in Parquet files, read in batches."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .histories import COLUMNS, REQUIRED, Histories, HistoryRow, history_row

logger = logging.getLogger(__name__)
# Rows that are decoded at once, and bytes that are read at once of a column: whole row groups may be large.
_ROWS, _BUFFER = 1024, 1 << 20


def _is_text(type_: pa.DataType) -> bool:
    if pa.types.is_dictionary(type_):
        return _is_text(type_.value_type)
    return any(test(type_) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _is_texts(type_: pa.DataType) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view)
    is_list = any(test(type_) for test in tests)
    return is_list and (_is_text(type_.value_type) or pa.types.is_null(type_.value_type))


def _is_time(type_: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_timestamp, _is_text)
    return any(test(type_) for test in tests)


_TYPES: dict[str, tuple[Callable[[pa.DataType], bool], str]] = {
    **dict.fromkeys(("user_id", "query"), (_is_text, "string")),
    **dict.fromkeys(("history", "exclude", "allowed"), (_is_texts, "list<string>")),
    **dict.fromkeys(("time", "last_time"), (_is_time, "a number, a timestamp or a string")),
}


class ParquetHistories(Histories):
    """Parquet files, one after the other. Memory does not depend on their number of rows.

    Args:
        files: the files, all with the columns ``user_id`` and ``history``.
        name: of the file or folder, for messages.

    Raises:
        ValueError: not a Parquet file, or a column is missing or of the wrong type.
    """

    def __init__(self, files: Sequence[Path], name: str):
        self.name, self.unused, self._files = name, [], [str(file) for file in files]
        self._counts = [self._check(file) for file in self._files]
        self.num_rows = sum(self._counts)
        digests = []
        for file in self._files:
            with open(file, "rb") as stream:
                digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
        self.fingerprint = digests[0] if len(digests) == 1 else hashlib.sha256(":".join(digests).encode()).hexdigest()
        if self.unused:
            logger.warning("%s: columns that are no fields of requests are left out: %s", name, ", ".join(self.unused))

    def _check(self, file: str) -> int:
        """Check the columns of a file; returns its number of rows."""
        with _opened(file) as table:
            schema = table.schema_arrow
            for column in REQUIRED:
                if column not in schema.names:
                    raise ValueError(f"{file}: missing column {column!r} (has {schema.names})")
            for column, type_ in zip(schema.names, schema.types, strict=True):
                if column not in _TYPES:
                    self.unused += [column] if column not in self.unused else []
                    continue
                is_expected, expected = _TYPES[column]
                if not is_expected(type_) and not pa.types.is_null(type_):
                    raise ValueError(f"{file}: column {column!r} must be {expected}, is {type_}")
            return table.metadata.num_rows

    def read(self, start, stop):
        first = 0
        for file, count in zip(self._files, self._counts, strict=True):
            if first < stop and start < first + count:
                yield from self._rows(file, max(start - first, 0), min(stop - first, count))
            first += count

    def _rows(self, file: str, start: int, stop: int) -> Iterator[HistoryRow]:
        with _opened(file) as table:
            groups, number, before = [], 0, 0
            for group in range(table.metadata.num_row_groups):
                count = table.metadata.row_group(group).num_rows
                if before + count <= start:
                    number = before + count
                elif before < stop:
                    groups.append(group)
                before += count
            columns = [name for name in COLUMNS if name in table.schema_arrow.names]
            try:
                for batch in table.iter_batches(_ROWS, row_groups=groups, columns=columns):
                    skipped = min(max(start - number, 0), len(batch))
                    wanted = batch.slice(skipped, max(min(stop - number, len(batch)) - skipped, 0))
                    for row, record in enumerate(_records(wanted, file, number + skipped), start=number + skipped):
                        yield history_row(file, row, record, f"{file}: row {row}")
                    number += len(batch)
                    if number >= stop:
                        return
            except (pa.ArrowException, OSError) as error:
                raise ValueError(f"{file}: not readable from row {number} on ({error})") from error


def _opened(file: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file, buffer_size=_BUFFER)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file}: not a readable Parquet file ({error})") from error


def _records(batch: pa.RecordBatch, file: str, first: int) -> list[dict[str, Any]]:
    try:
        return batch.to_pylist()
    except UnicodeDecodeError as error:
        for row in range(len(batch)):
            for name in batch.schema.names:
                try:
                    batch.column(name)[row].as_py()
                except UnicodeDecodeError:
                    raise ValueError(f"{file}: row {first + row}: column {name!r} is not UTF-8") from error
        raise
