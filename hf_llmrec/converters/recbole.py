"""RecBole's atomic files, the format of dozens of public data sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .lines import RawFile, WrongFileError, parsed_lines
from .notes import ReadingNotes
from .records import NamedColumns
from .sequences import Sequences
from .source import Interaction, Item, Source
from .text import clean_name, plain
from .times import time_value

# Names of columns; the first one that a row has a value for is used. The format fixes types, not names.
TITLES = ("title", "movie_title", "item_name", "name", "product_title", "game_title", "app_name", "book_title")
CATEGORIES = ("categories", "category", "class", "genre", "genres", "tags")
DESCRIPTIONS = ("description", "abstract", "summary")
BRANDS = ("brand", "store", "author", "artist", "publisher", "developer")
TIMES = ("timestamp", "time", "date")
RATINGS = ("rating", "stars", "score")
REVIEWS = ("review_text", "review", "text")
_TYPES = ("token", "token_seq", "float", "float_seq")
# Parts of a data set that is published in a split form, and their order in time.
_PARTS = {"train": 0, "valid": 1, "validation": 1, "val": 1, "dev": 1, "test": 2}


class RecBole(Source):
    """Tab-separated ``.inter`` and ``.item`` files, whose first line has ``name:type`` for each column.

    In a data set that is published in split form (``NAME.train.inter``, ``.valid``, ``.test``), training rows come
    first. Rows that hold a target and its history (``item_id_list``) are merged to one sequence per user.
    """

    name, label = "recbole", "RecBole atomic files"
    homepage = "https://recbole.io/dataset_list.html"
    files = "NAME.inter (or NAME.train.inter, .valid and .test) and, where there is one, NAME.item"
    licence = "The terms are those of the data set's own publisher."
    citation = """@inproceedings{zhao2021recbole,
  title={RecBole: Towards a unified, comprehensive and efficient framework for recommendation algorithms},
  author={Zhao, Wayne Xin and others},
  booktitle={CIKM}, year={2021}
}"""
    columns = {"user_id": "user_id", "item_id": "item_id", "timestamp": TIMES[0]}
    item_column = "item_id"

    def sort(self, paths: Sequence[RawFile]) -> tuple[list[RawFile], list[RawFile]]:
        def of(kind: str) -> list[RawFile]:
            return [path for path in paths if kind in path.name.split(".")[1:]]

        return of("inter"), of("item")

    def log(self, paths: Sequence[RawFile], notes: ReadingNotes) -> Iterator[Interaction]:
        """Read the rows of all logs, training rows first.

        Args:
            paths: the logs.
            notes: receives the lines that cannot be read, and remarks on how the files were read.

        Raises:
            ValueError: a data set is given both complete and split, only some files have histories of targets, or
                several files have neither times nor names that tell their order.
        """
        ordered, is_ordered = in_order(paths)
        sequences = Sequences()
        with_rows = False
        for path in ordered:
            for row in parsed_lines(path, self._log_lines(path, notes, sequences), notes):
                if row.timestamp is None and not is_ordered:
                    names = ", ".join(each.name for each in ordered)
                    raise WrongFileError(
                        f"{path}: the rows have no times, and the names of {names} do not tell their order"
                    )
                with_rows = True
                yield row
        if with_rows and sequences:
            raise WrongFileError(
                f"{ordered[0]}: some files have {self._list} and some have not: give those of one kind"
            )
        yield from sequences.interactions()

    def interactions(self, path: RawFile, notes: ReadingNotes) -> Iterator[Interaction]:
        return self.log([path], notes)

    def items(self, path: RawFile, notes: ReadingNotes) -> Iterator[Item]:
        return parsed_lines(path, _columns(self._item, self.item_columns), notes)

    @property
    def _list(self) -> str:
        return f"{self.columns['item_id']}_list"

    @property
    def _times(self) -> tuple[str, ...]:
        return (self.columns["timestamp"],) if "timestamp" in self.renamed else TIMES

    def _log_lines(self, path: RawFile, notes: ReadingNotes, sequences: Sequences) -> NamedColumns:
        def header(names: list[str]) -> list[str]:
            self.log_columns(names)
            has_times = bool(set(self._times) & set(names))
            if self._list in names:
                ignored = ", and its times are left out" if has_times else ""
                notes.remark(f"{path.name}: the order is that of {self._list}{ignored}")
            elif not has_times:
                names_of_times = ", ".join(self._times)
                notes.remark(
                    f"{path.name}: no column of times ({names_of_times}; --timestamp_column names another): the order "
                    "is that of the lines"
                )
            return names

        def make(row: dict[str, str]) -> Interaction | None:
            if self._list not in row:
                return self._interaction(row)
            history = row[self._list].split()
            sequences.add(path, self._needed(row, "user_id"), history, self._needed(row, "item_id"))
            return None

        return _columns(make, header)

    def _interaction(self, row: dict[str, str]) -> Interaction:
        time, rating = _first(row, self._times), _first(row, RATINGS)
        return Interaction(
            self._needed(row, "user_id"),
            self._needed(row, "item_id"),
            time_value(time) if time else None,
            float(rating) if rating else None,
            plain(_first(row, REVIEWS)),
        )

    def _item(self, row: dict[str, str]) -> Item:
        title, brand, categories = (clean_name(_first(row, names)) for names in (TITLES, BRANDS, CATEGORIES))
        item = (self.item_value(row) or "").strip()
        if not item:
            raise ValueError(f"no {self.item_column}")
        return Item(item, title, plain(_first(row, DESCRIPTIONS)), brand, categories)

    def _needed(self, row: dict[str, str], column: str) -> str:
        value = self.value(row, column).strip()
        if not value:
            raise ValueError(f"no {self.columns[column]}")
        return value


def in_order(paths: Sequence[RawFile]) -> tuple[list[RawFile], bool]:
    """Sort logs by time as far as their names tell their order.

    Args:
        paths: the logs.

    Returns:
        the sorted logs, and whether their names tell the order.

    Raises:
        ValueError: a data set is given both complete and split.
    """
    named = [(path, *_name_and_part(path)) for path in paths]
    complete = {name for _, name, part in named if part is None}
    for path, name, part in named:
        if part is not None and name in complete:
            raise WrongFileError(f"{path}: {name} is given both complete and split ({part}): give one of them")
    ordered = [path for path, _, part in sorted(named, key=lambda each: _PARTS.get(each[2] or "", len(_PARTS)))]
    is_ordered = len({name for _, name, _ in named}) == 1 and all(part in _PARTS for *_, part in named)
    return ordered, is_ordered or len(paths) < 2


def _name_and_part(path: RawFile) -> tuple[str, str | None]:
    parts = path.name.split(".")
    place = parts.index("inter", 1)
    return (parts[0], None) if place == 1 else (".".join(parts[: place - 1]), parts[place - 1].lower())


def _columns(make: Callable[[dict[str, str]], Any], header: Callable[[list[str]], list[str]]) -> NamedColumns:
    def names(values: list[str]) -> list[str]:
        for value in values:
            kind = value.partition(":")[2]
            if kind and kind not in _TYPES:
                raise ValueError(f"{kind!r} where a type should be ({', '.join(_TYPES)})")
        return header([value.partition(":")[0] for value in values])

    return NamedColumns(make, split=lambda line: line.split("\t"), separator="\t", header=names)


def _first(row: dict[str, str], names: Sequence[str]) -> str:
    return next((row[name].strip() for name in names if row.get(name, "").strip()), "")
