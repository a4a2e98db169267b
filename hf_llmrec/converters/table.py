"""Any table of interactions as a source: the caller names the columns, and rows are left out only on request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from .any_table import table_rows
from .lines import RawFile, check_row, raw_files
from .notes import ReadingNotes
from .source import Interaction, Item, Source
from .text import clean_name, plain
from .times import time_value

_TEXTS = ("title", "description", "brand", "categories")


@dataclass
class TableSource(Source):
    """Reads tables with any columns: CSV, TSV, JSON lines and Parquet.

    The columns with texts of items are in the files about items or, if there are none, in the log.

    Args:
        user: column of the log with the id of the user (or session).
        item: column of the log with the id of the item.
        time: column of the log with the time; ``None``: the rows are in order.
        rating: column of the log with the rating; ``None``: there is none.
        event: column of the log with the kind of event; ``None``: there is none.
        title: column with the title of an item; ``None``: a column of this name, if there is one.
        description: column with the description of an item; ``None``: a column of this name, if there is one.
        brand: column with the brand of an item; ``None``: a column of this name, if there is one.
        categories: column with the categories of an item; ``None``: a column of this name, if there is one.
        item_files: files, folders or archives about items; all other inputs are logs.
        items_id: column with the id of the item in files about items; ``None``: the same as ``item``.
        time_format: format of `datetime.strptime` for times that are neither numbers nor ISO dates.
        keep_events: keep only rows with one of these values in column ``event``; empty: keep all.
        min_rating: keep only rows with at least this value in column ``rating``; ``None``: keep all.
        left_out: counts of the rows that were left out, by reason; filled while the logs are read.

    Raises:
        ValueError: an option is given without the column that it applies to.
    """

    user: str
    item: str
    time: str | None = None
    rating: str | None = None
    event: str | None = None
    title: str | None = None
    description: str | None = None
    brand: str | None = None
    categories: str | None = None
    item_files: Sequence[str] = ()
    items_id: str | None = None
    time_format: str | None = None
    keep_events: Sequence[str] = ()
    min_rating: float | None = None
    left_out: dict[str, int] = field(default_factory=dict)

    name, label, files = "table", "A table", "tables of interactions"
    homepage, licence = "", "That of the data."

    def __post_init__(self):
        for option, column in {"keep_events": "event", "min_rating": "rating", "time_format": "time"}.items():
            if getattr(self, option) not in (None, (), []) and getattr(self, column) is None:
                raise ValueError(f"{option} is about a column: name it with {column}")

    def sort(self, paths: Sequence[RawFile]) -> tuple[list[RawFile], list[RawFile]]:
        return [path for path in paths if not self._is_about(path)], list(filter(self._is_about, paths))

    @cached_property
    def _about(self) -> set[str]:
        return {str(path) for path in raw_files(self.item_files)}

    def _is_about(self, path: RawFile) -> bool:
        """Whether a file is about items."""
        return str(path) in self._about

    def items_in(self, logs: Sequence[RawFile], about: Sequence[RawFile]) -> Sequence[RawFile]:
        """The files that texts of items are read from: the files about items or, if there are none, the logs.

        Args:
            logs: files with interactions.
            about: files about items.
        """
        return about or logs

    def interactions(self, path: RawFile, notes: ReadingNotes) -> Iterator[Interaction]:
        needed = [name for name in (self.user, self.item, self.time, self.rating, self.event) if name]
        for number, row in table_rows(path, needed, notes):
            try:
                interaction = self._interaction(row)
                check_row(interaction)
            except (ValueError, TypeError, OverflowError) as error:
                notes.bad_line(path, number, error)
                continue
            if interaction is not None:
                yield interaction

    def _interaction(self, row: dict[str, Any]) -> Interaction | None:
        if self.event is not None and self.keep_events and str(row.get(self.event)) not in self.keep_events:
            return self._leave_out("of another event")
        rating = None if self.rating is None or row.get(self.rating) in (None, "") else float(row[self.rating])
        if self.min_rating is not None and (rating is None or rating < self.min_rating):
            return self._leave_out("below the rating")
        time = None if self.time is None else self._time(row.get(self.time))
        return Interaction(_id(row.get(self.user), self.user), _id(row.get(self.item), self.item), time, rating)

    def _leave_out(self, why: str) -> None:
        self.left_out[why] = self.left_out.get(why, 0) + 1

    def _time(self, value: Any) -> float | None:
        if value in (None, ""):
            return None
        if self.time_format is None:
            return time_value(value)
        parsed = datetime.strptime(str(value), self.time_format)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()

    def items(self, path: RawFile, notes: ReadingNotes) -> Iterator[Item]:
        is_about = self._is_about(path)
        key = (self.items_id or self.item) if is_about else self.item
        named = {text: getattr(self, text) for text in _TEXTS}
        required = [name for name in named.values() if name]
        # Bad lines of a log were recorded when its interactions were read.
        notes = notes if is_about else ReadingNotes(2**62)
        for number, row in table_rows(path, [key, *required], notes):
            try:
                values = {text: row.get(name or text) for text, name in named.items()}
                item = Item(
                    _id(row.get(key), key),
                    clean_name(values["title"]),
                    plain(values["description"]),
                    clean_name(values["brand"]),
                    clean_name(values["categories"]),
                )
                check_row(item)
            except (ValueError, TypeError) as error:
                notes.bad_line(path, number, error)
                continue
            yield item


def _id(value: Any, column: str) -> str:
    """Convert an id to text without changing it: ``007`` is not ``7``."""
    if value is None or isinstance(value, (dict, list, bool)) or value != value:
        raise ValueError(f"no id in column {column!r}: {value!r}")
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    if not text:
        raise ValueError(f"no id in column {column!r}")
    return text
