"""What is noted while raw files are read, for the report and the card."""

from __future__ import annotations

from typing import Any

_SHOWN = 5


class ReadingNotes:
    """Lines that could not be read, and remarks on how files were read.

    Args:
        limit: so many lines that cannot be read are skipped; more are an error.

    Attributes:
        count: lines that could not be read.
        examples: the first of them, with file, line and reason.
        remarks: encodings, units and orders that were detected, each once.
    """

    def __init__(self, limit: int):
        self.limit, self.count = limit, 0
        self.examples: list[str] = []
        self.remarks: list[str] = []

    def bad_line(self, path: Any, number: int, reason: object) -> None:
        """Note a line that cannot be read.

        Args:
            path: the file.
            number: of the line, from 1.
            reason: why.

        Raises:
            ValueError: there are more than the limit.
        """
        self.count += 1
        if len(self.examples) < _SHOWN:
            self.examples.append(f"{path.name}, line {number}: {reason}")
        if self.count > self.limit:
            shown = "; ".join(self.examples)
            raise ValueError(f"{path}: more than {self.limit} lines cannot be read (--max_bad_lines): {shown}")

    def remark(self, text: str) -> None:
        """Note how something was read."""
        if text not in self.remarks:
            self.remarks.append(text)
