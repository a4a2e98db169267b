"""Tables of histories: Parquet, JSON lines or a dataset, read as a stream of requests."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data.interactions import RecDataset
from ..data.requests import FIELDS

logger = logging.getLogger(__name__)
JSON_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
REQUIRED = ("user_id", "history")
COLUMNS = ("user_id", *FIELDS)


class HistoryRow(NamedTuple):
    """A row of a table of histories.

    Attributes:
        file: the file that it is in.
        number: of the row in its file, from 0; in JSON lines, of the line, from 1.
        user_id: id of the user.
        request: the request, without fields that are null; see `RequestReader.read`.
    """

    file: str
    number: int
    user_id: str
    request: dict[str, Any]


class Histories(ABC):
    """A table of histories, which is read in pieces.

    Attributes:
        name: of the file, folder or dataset.
        num_rows: how many rows there are.
        fingerprint: sha256 (hex) of the contents.
        unused: columns that are not read.
    """

    name: str
    num_rows: int
    fingerprint: str
    unused: list[str]

    @abstractmethod
    def read(self, start: int, stop: int) -> Iterator[HistoryRow]:
        """The rows from ``start`` up to ``stop``, read as they are asked for.

        Args:
            start: number of the first row, from 0.
            stop: number of the row after the last one.

        Raises:
            ValueError: a row that is no request; the message names file and row.
        """

    def at(self, row: HistoryRow) -> str:
        """Where a row is, for error messages: ``FILE: row NUMBER``.

        Args:
            row: of `read`.
        """
        return f"{row.file}: row {row.number}"


class JsonLinesHistories(Histories):
    """A file with one JSON object per line; empty lines are skipped.

    Args:
        path: the file, perhaps gzipped.

    Raises:
        ValueError: the file cannot be decompressed.
    """

    def __init__(self, path: Path):
        self.name, self.num_rows, self.unused = str(path), 0, []
        digest = hashlib.sha256()
        for _, line in self._lines():
            digest.update(line)
            self.num_rows += 1
        self.fingerprint = digest.hexdigest()

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        opened = gzip.open(self.name) if self.name.endswith(".gz") else open(self.name, "rb")
        try:
            with opened as stream:
                for number, line in enumerate(stream, start=1):
                    if not line.isspace():
                        yield number, line
        except (gzip.BadGzipFile, EOFError) as error:
            raise ValueError(f"{self.name}: not a complete gzip file ({error})") from error

    def read(self, start, stop):
        for place, (number, line) in enumerate(self._lines()):
            if place >= stop:
                return
            if place < start:
                continue
            at = f"{self.name}: line {number}"
            try:
                record = json.loads(line)
            except ValueError as error:  # JSON and Unicode errors are ValueErrors
                raise ValueError(f"{at}: not valid JSON ({error})") from error
            if not isinstance(record, dict):
                raise ValueError(f'{at}: an object with "user_id" and "history" is needed, got {record!r:.80}')
            for name in record.keys() - COLUMNS:
                if name not in self.unused:
                    self.unused.append(name)
                    logger.warning("%s: %r is not a field of requests and is left out", at, name)
            yield history_row(self.name, number, record, at)

    def at(self, row):
        return f"{row.file}: line {row.number}"


class DatasetHistories(Histories):
    """All users of a dataset, each with all interactions, the latest of which gives ``last_time``.

    Args:
        dataset: the dataset, which is held in memory.
        name: of its folder, for messages.
    """

    def __init__(self, dataset: RecDataset, name: str):
        self.name, self.num_rows, self.unused = name, dataset.num_users, []
        self._users, self._items = dataset.user_ids, np.array(dataset.item_ids, dtype=object)
        self._indptr, self._indices, self._times = dataset.indptr, dataset.indices, dataset.timestamps
        # The order of the users decides which part they are in, and the times are read, too.
        digest = hashlib.sha256(f"{dataset.ids_fingerprint}:{dataset.interactions_fingerprint}:".encode())
        digest.update(b"" if self._times is None else np.ascontiguousarray(self._times, dtype="<i8").tobytes())
        self.fingerprint = digest.hexdigest()

    def read(self, start, stop):
        for number in range(start, min(stop, self.num_rows)):
            first, last = int(self._indptr[number]), int(self._indptr[number + 1])
            request: dict[str, Any] = {"history": self._items[self._indices[first:last]].tolist()}
            if self._times is not None and last > first:
                request["last_time"] = int(self._times[last - 1])
            yield HistoryRow(self.name, number, self._users[number], request)

    def at(self, row):
        return f"{row.file}: user {row.user_id!r}"


def history_row(file: str, number: int, record: Mapping[str, Any], at: str) -> HistoryRow:
    """Check that a record has a user and a history, and leave out what is null or no field of requests.

    Args:
        file: the file that the record is in.
        number: of its row or line.
        record: values by column.
        at: where it is, for error messages.

    Raises:
        ValueError: a value is missing, null or no text.
    """
    for name in REQUIRED:
        if record.get(name) is None:
            raise ValueError(f"{at}: {name!r} is {'null' if name in record else 'missing'}")
    user = record["user_id"]
    if not isinstance(user, str):
        raise ValueError(f"{at}: 'user_id' must be text, got {user!r}")
    request = {name: record[name] for name in FIELDS if record.get(name) is not None}
    return HistoryRow(file, number, user, request)
