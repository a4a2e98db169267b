"""Sources whose files have one record per line."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from .lines import BadLines, RawFile, parsed_lines
from .source import Interaction, Item, Source


class LineSource(Source):
    """Reads a log, and a file about items, line by line.

    Attributes:
        encoding: of both.
    """

    encoding: ClassVar[str] = "utf-8-sig"

    def interactions(self, path: RawFile, bad: BadLines) -> Iterator[Interaction]:
        return parsed_lines(path, self.interaction, bad, self.encoding)

    def items(self, path: RawFile, bad: BadLines) -> Iterator[Item]:
        return parsed_lines(path, self.item, bad, self.encoding)

    @abstractmethod
    def interaction(self, line: str) -> Interaction | None:
        """The row of a log's line; ``None`` for a line that has none, an exception for one that cannot be read."""

    @abstractmethod
    def item(self, line: str) -> Item | None:
        """The same for a line about an item."""
