"""Sources whose files have one record per line."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from .lines import RawFile, parsed_lines
from .notes import ReadingNotes
from .source import Interaction, Item, Source


class LineSource(Source):
    """Reads a log, and a file about items, line by line.

    Attributes:
        older_encoding: of the publisher's own files where they are not UTF-8; copies of them may be.
    """

    older_encoding: ClassVar[str | None] = None

    def interactions(self, path: RawFile, notes: ReadingNotes) -> Iterator[Interaction]:
        return parsed_lines(path, self.interaction, notes, self.older_encoding)

    def items(self, path: RawFile, notes: ReadingNotes) -> Iterator[Item]:
        return parsed_lines(path, self.item, notes, self.older_encoding)

    @abstractmethod
    def interaction(self, line: str) -> Interaction | None:
        """The row of a log's line; ``None`` for a line that has none, an exception for one that cannot be read."""

    @abstractmethod
    def item(self, line: str) -> Item | None:
        """The same for a line about an item."""
