"""Any table of interactions as a source: which columns mean what is told, nothing is left out unless asked for."""

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
    """Reads tables as people have them: CSV, TSV, JSON lines and Parquet.

    Args:
        user, item: columns of the log with ids of users (or of sessions) and items.
        time: column of the log with the time; ``None``: its rows are in order.
        rating, event: further columns of the log.
        title, description, brand, categories: columns with texts of items, in the files about items or, without such,
            in the log; default: columns of these names, where there are any.
        item_files: files, folders or archives that are about items; the others are logs.
        items_id: column with the item's id in the files about items; default: ``item``.
        time_format: of `datetime.strptime`, for times that are neither numbers nor ISO dates.
        keep_events: only rows with one of these in column ``event``.
        min_rating: only rows with at least this in column ``rating``.

    Raises:
        ValueError: an option without the column that it is about.
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

    def sort(self, paths):
        return [path for path in paths if not self._is_about(path)], list(filter(self._is_about, paths))

    @cached_property
    def _about(self) -> set[str]:
        return {str(path) for path in raw_files(self.item_files)}

    def _is_about(self, path: RawFile) -> bool:
        """Whether a file is one about items."""
        return str(path) in self._about

    def items_in(self, logs: Sequence[RawFile], about: Sequence[RawFile]) -> Sequence[RawFile]:
        """Where texts of items are: in files about items, or in the logs."""
        return about or logs

    def interactions(self, path: RawFile, notes: ReadingNotes) -> Iterator[Interaction]:
        needed = [name for name in (self.user, self.item, self.time, self.rating, self.event) if name]
        for number, row in table_rows(path, needed, notes):
            try:
                found = self._interaction(row)
                check_row(found)
            except (ValueError, TypeError, OverflowError) as error:
                notes.bad_line(path, number, error)
                continue
            if found is not None:
                yield found

    def _interaction(self, row: dict[str, Any]) -> Interaction | None:
        if self.keep_events and str(row.get(self.event)) not in self.keep_events:
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
        found = datetime.strptime(str(value), self.time_format)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()

    def items(self, path: RawFile, notes: ReadingNotes) -> Iterator[Item]:
        is_about = self._is_about(path)
        key = (self.items_id or self.item) if is_about else self.item
        named = {text: getattr(self, text) for text in _TEXTS}
        given = [name for name in named.values() if name]
        # What is wrong with a log's lines was noted when they were read as such.
        notes = notes if is_about else ReadingNotes(2**62)
        for number, row in table_rows(path, [key, *given], notes):
            try:
                values = {text: row.get(name or text) for text, name in named.items()}
                found = Item(
                    _id(row.get(key), key),
                    clean_name(values["title"]),
                    plain(values["description"]),
                    clean_name(values["brand"]),
                    clean_name(values["categories"]),
                )
                check_row(found)
            except (ValueError, TypeError) as error:
                notes.bad_line(path, number, error)
                continue
            yield found


def _id(value: Any, column: str) -> str:
    """An id as text, as it stands: ``007`` is not ``7``."""
    if value is None or isinstance(value, (dict, list, bool)) or value != value:
        raise ValueError(f"no id in column {column!r}: {value!r}")
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    if not text:
        raise ValueError(f"no id in column {column!r}")
    return text
