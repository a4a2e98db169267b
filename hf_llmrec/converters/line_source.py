"""Base class of sources whose files have one record per line."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from .lines import RawFile, parsed_lines
from .notes import ReadingNotes
from .source import Interaction, Item, Source


class LineSource(Source):
    """Reads logs and files about items line by line.

    Attributes:
        older_encoding: encoding of the publisher's own files if they are not UTF-8 (copies of them may be UTF-8);
            ``None``: all are UTF-8.
    """

    older_encoding: ClassVar[str | None] = None

    def interactions(self, path: RawFile, notes: ReadingNotes) -> Iterator[Interaction]:
        return parsed_lines(path, self.interaction, notes, self.older_encoding)

    def items(self, path: RawFile, notes: ReadingNotes) -> Iterator[Item]:
        return parsed_lines(path, self.item, notes, self.older_encoding)

    @abstractmethod
    def interaction(self, line: str) -> Interaction | None:
        """Parse a line of a log; raise an exception if it cannot be read.

        Args:
            line: the line without its line break.

        Returns:
            the interaction; ``None`` if the line holds none.
        """

    @abstractmethod
    def item(self, line: str) -> Item | None:
        """Parse a line about an item; raise an exception if it cannot be read.

        Args:
            line: the line without its line break.

        Returns:
            the item; ``None`` if the line holds none.
        """
