"""`Source`: base class of the readers of publishers' formats."""

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
    """One interaction of a log.

    Attributes:
        user_id: id of the user.
        item_id: id of the item.
        timestamp: the time as `time_value` returns it, in the unit of the file; ``None``: the log has no times.
        rating: the rating; ``None``: none was given.
        text: text of a review; ``None``: there is none.
    """

    user_id: str
    item_id: str
    timestamp: float | None = None
    rating: float | None = None
    text: str | None = None


class Item(NamedTuple):
    """Description of one item. Missing texts are empty.

    Attributes:
        item_id: id of the item.
        title: title of the item.
        description: description of the item.
        brand: brand, author, developer or store.
        categories: categories as one text.
    """

    item_id: str
    title: str = ""
    description: str = ""
    brand: str = ""
    categories: str = ""


@dataclass(frozen=True)
class Remote:
    """A file to download.

    Attributes:
        url: address of the file; its last part is the name of the file.
        md5_url: address of a file with its MD5; ``None``: the publisher states none.
    """

    url: str
    md5_url: str | None = None

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


class Source(ABC):
    """Reads the files of one publisher.

    Attributes:
        name: name on the command line.
        label: name of the data set for people.
        homepage: web page of the publisher.
        files: description of the files that it reads, for help texts.
        licence: terms of use, for the card.
        citation: BibTeX entry for the card; "" if there is none.
        columns: names of the columns ``user_id``, ``item_id`` and ``timestamp`` in the log; empty if the format does
            not name its columns.
        item_column: name of the column with the id in files about items.
        renamed: names of columns that differ from the format's, see `with_columns`.
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
        """A reader of files whose columns have other names.

        Args:
            **names: names of the columns ``user_id``, ``item_id`` and ``timestamp``; ``None``: that of the format. In
                files about items, the id is read from the column of this name, or from that of the format if there is
                no such column.

        Raises:
            ValueError: the format does not name its columns.
        """
        renamed = {column: name for column, name in names.items() if name is not None}
        for column in renamed:
            if column not in self.columns:
                raise ValueError(f"--{column}_column: the files of {self.name} have no names of columns")
        source = copy.copy(self)
        source.columns, source.renamed = {**self.columns, **renamed}, renamed
        return source

    def value(self, row: Mapping[str, Any], column: str) -> Any:
        """The value of a column in a row of a log.

        Args:
            row: values by the column names of the file.
            column: ``user_id``, ``item_id`` or ``timestamp``.

        Raises:
            ValueError: the row has no such column.
        """
        name = self.columns[column]
        if name not in row:
            raise ValueError(f"no {name!r} among {', '.join(map(str, row))[:200]} (--{column}_column names another)")
        return row[name]

    def item_value(self, row: Mapping[str, Any]) -> Any:
        """The item id in a row of a file about items; ``None`` if there is none.

        Args:
            row: values by the column names of the file.
        """
        name = self.renamed.get("item_id", self.item_column)
        return row[name] if name in row else row.get(self.item_column)

    def log_columns(self, names: list[str]) -> list[str]:
        """Check that a log has the required columns. The time is required only if its column was renamed.

        Args:
            names: names of the columns of the file.

        Returns:
            the same names.

        Raises:
            ValueError: a column is missing.
        """
        for column in ("item_id", "user_id", *(["timestamp"] if "timestamp" in self.renamed else [])):
            if self.columns[column] not in names:
                raise ValueError(f"no {self.columns[column]} (--{column}_column names another column)")
        return names

    def item_columns(self, names: list[str]) -> list[str]:
        """Check that a file about items has a column with the id.

        Args:
            names: names of the columns of the file.

        Returns:
            the same names.

        Raises:
            ValueError: the column is missing.
        """
        if not {self.renamed.get("item_id"), self.item_column} & set(names):
            raise ValueError(f"no {self.item_column} (--item_id_column names another column)")
        return names

    def downloads(self, category: str | None = None) -> tuple[Remote, ...]:
        """The files that can be downloaded from the publisher without registration.

        Args:
            category: category of a data set that is published in several; ``None``: the data set has none.

        Raises:
            ValueError: there are no such files, or a category is required.
        """
        raise ValueError(f"{self.label}: its files are not for anybody to fetch; get them at {self.homepage}")

    def items_in(self, logs: Sequence[RawFile], about: Sequence[RawFile]) -> Sequence[RawFile]:
        """The files that descriptions of items are read from.

        Args:
            logs: files with interactions, as `sort` returns them.
            about: files about items, as `sort` returns them.
        """
        return about

    @abstractmethod
    def sort(self, paths: Sequence[RawFile]) -> tuple[list[RawFile], list[RawFile]]:
        """Select the files of this source.

        Args:
            paths: raw files, which may include others.

        Returns:
            the logs, and the files about items.
        """

    def log(self, paths: Sequence[RawFile], notes: ReadingNotes) -> Iterator[Interaction]:
        """Read the interactions of all logs, in the order of files and lines.

        Args:
            paths: the logs.
            notes: receives the lines that cannot be read, and remarks on how the files were read.
        """
        return itertools.chain.from_iterable(self.interactions(path, notes) for path in paths)

    @abstractmethod
    def interactions(self, path: RawFile, notes: ReadingNotes) -> Iterator[Interaction]:
        """Read the interactions of a log, in the order of the file.

        Args:
            path: the log.
            notes: receives the lines that cannot be read, and remarks on how the file was read.
        """

    @abstractmethod
    def items(self, path: RawFile, notes: ReadingNotes) -> Iterator[Item]:
        """Read the descriptions of items. For an item that occurs several times, the first text of each kind counts.

        Args:
            path: a file about items.
            notes: receives the lines that cannot be read, and remarks on how the file was read.
        """
