"""What a converter of one source says."""

from __future__ import annotations

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from .lines import RawFile
from .notes import ReadingNotes


class Interaction(NamedTuple):
    """One line of a log. ``timestamp`` as `time_value` gives it, in the file's unit; ``text``: of a review."""

    user_id: str
    item_id: str
    timestamp: float | None = None
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
        columns: names of ``user_id``, ``item_id`` and ``timestamp`` in the log; none where the format has no names.
        item_column: name of the id in files about items.
        renamed: other names of columns, see `with_columns`.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    homepage: ClassVar[str]
    files: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str] = ""
    columns: Mapping[str, str] = {}
    item_column: ClassVar[str] = ""
    renamed: Mapping[str, str] = {}

    def with_columns(self, **names: str | None) -> Source:
        """A reader of files in which columns have other names.

        Args:
            names: of ``user_id``, ``item_id`` and ``timestamp``; ``None``: the format's own. The items' id is looked
                for under this name in files about items, too, and where it is not there, under the format's own.

        Raises:
            ValueError: the format's columns have no names.
        """
        renamed = {column: name for column, name in names.items() if name is not None}
        for column in renamed:
            if column not in self.columns:
                raise ValueError(f"--{column}_column: the files of {self.name} have no names of columns")
        found = copy.copy(self)
        found.columns, found.renamed = {**self.columns, **renamed}, renamed
        return found

    def value(self, row: Mapping[str, Any], column: str) -> Any:
        """What a row of a log has in a column.

        Args:
            row: by names of the file.
            column: ``user_id``, ``item_id`` or ``timestamp``.

        Raises:
            ValueError: the row has no column of this name.
        """
        name = self.columns[column]
        if name not in row:
            raise ValueError(f"no {name!r} among {', '.join(map(str, row))[:200]} (--{column}_column names another)")
        return row[name]

    def item_value(self, row: Mapping[str, Any]) -> Any:
        """The id in a row of a file about items; ``None`` without one."""
        name = self.renamed.get("item_id", self.item_column)
        return row[name] if name in row else row.get(self.item_column)

    def log_columns(self, names: list[str]) -> list[str]:
        """The names of a log's columns, after a check. Times may be missing, unless their column was renamed.

        Raises:
            ValueError: one is missing.
        """
        for column in ("item_id", "user_id", *(["timestamp"] if "timestamp" in self.renamed else [])):
            if self.columns[column] not in names:
                raise ValueError(f"no {self.columns[column]} (--{column}_column names another column)")
        return names

    def item_columns(self, names: list[str]) -> list[str]:
        """The same for a file about items."""
        if not {self.renamed.get("item_id"), self.item_column} & set(names):
            raise ValueError(f"no {self.item_column} (--item_id_column names another column)")
        return names

    def downloads(self, category: str | None = None) -> tuple[Remote, ...]:
        """Files that its publisher lets anybody fetch.

        Args:
            category: of the data set, where it has several.

        Raises:
            ValueError: there are none, or a category is missing.
        """
        raise ValueError(f"{self.label}: its files are not for anybody to fetch; get them at {self.homepage}")

    def items_in(self, logs: Sequence[RawFile], about: Sequence[RawFile]) -> Sequence[RawFile]:
        """The files that items are read from.

        Args:
            logs, about: as `sort` gives them.
        """
        return about

    @abstractmethod
    def sort(self, paths: Sequence[RawFile]) -> tuple[list[RawFile], list[RawFile]]:
        """Which of the files are logs, and which describe items."""

    def log(self, paths: Sequence[RawFile], notes: ReadingNotes) -> Iterator[Interaction]:
        """The rows of all logs, in the order of files and lines."""
        return itertools.chain.from_iterable(self.interactions(path, notes) for path in paths)

    @abstractmethod
    def interactions(self, path: RawFile, notes: ReadingNotes) -> Iterator[Interaction]:
        """The rows of a log, in file order."""

    @abstractmethod
    def items(self, path: RawFile, notes: ReadingNotes) -> Iterator[Item]:
        """The rows of a file about items; of an item that occurs again, the first text of each kind counts."""
