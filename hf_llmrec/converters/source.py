"""What a converter of one source says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from .lines import BadLines, RawFile


class Interaction(NamedTuple):
    """One line of a log. ``timestamp`` in seconds; ``text``: of a review."""

    user_id: str
    item_id: str
    timestamp: int | None = None
    rating: float | None = None
    text: str | None = None


class Item(NamedTuple):
    """What is known of one item; empty where it is not."""

    item_id: str
    title: str = ""
    description: str = ""
    brand: str = ""
    categories: str = ""


@dataclass(frozen=True)
class Remote:
    """A file to fetch.

    Attributes:
        url: where it lies; its last part is the file's name.
        md5_url: where its publisher says what its MD5 is, if it does.
    """

    url: str
    md5_url: str | None = None

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


class Source(ABC):
    """Reads one publisher's files.

    Attributes:
        name: on the command line. label: of the data set, for people. homepage: of the publisher.
        files: what it reads, for help. licence, citation (BibTeX): for the card.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    homepage: ClassVar[str]
    files: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str] = ""

    def downloads(self, category: str | None = None) -> tuple[Remote, ...]:
        """Files that its publisher lets anybody fetch.

        Args:
            category: of the data set, where it has several.

        Raises:
            ValueError: there are none, or a category is missing.
        """
        raise ValueError(f"{self.label}: its files are not for anybody to fetch; get them at {self.homepage}")

    @abstractmethod
    def sort(self, paths: Sequence[RawFile]) -> tuple[list[RawFile], list[RawFile]]:
        """Which of the files are logs, and which describe items."""

    @abstractmethod
    def interactions(self, path: RawFile, bad: BadLines) -> Iterator[Interaction]:
        """The rows of a log, in file order."""

    @abstractmethod
    def items(self, path: RawFile, bad: BadLines) -> Iterator[Item]:
        """The rows of a file about items; of an item that occurs again, the first counts."""
