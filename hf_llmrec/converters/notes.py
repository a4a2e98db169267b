"""Collects what the report and the card of a conversion say about reading the raw files."""

from __future__ import annotations

import zipfile
from pathlib import Path

_SHOWN = 5


class ReadingNotes:
    """Lines that could not be read, and remarks on how files were read.

    Args:
        limit: number of lines that may be unreadable; more are an error.

    Attributes:
        limit: number of lines that may be unreadable.
        count: number of lines that could not be read.
        examples: the first of them, with file, line and reason.
        remarks: encodings, units and orders that were detected, without repeats.
    """

    def __init__(self, limit: int):
        self.limit, self.count = limit, 0
        self.examples: list[str] = []
        self.remarks: list[str] = []

    def bad_line(self, path: Path | zipfile.Path, number: int, reason: object) -> None:
        """Record a line that cannot be read.

        Args:
            path: the file.
            number: number of the line, from 1.
            reason: why the line cannot be read.

        Raises:
            ValueError: there are more such lines than the limit.
        """
        self.count += 1
        if len(self.examples) < _SHOWN:
            self.examples.append(f"{path.name}, line {number}: {reason}")
        if self.count > self.limit:
            shown = "; ".join(self.examples)
            raise ValueError(f"{path}: more than {self.limit} lines cannot be read (--max_bad_lines): {shown}")

    def remark(self, text: str) -> None:
        """Record how something was read.

        Args:
            text: the remark; repeats are ignored.
        """
        if text not in self.remarks:
            self.remarks.append(text)
