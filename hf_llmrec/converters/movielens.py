"""MovieLens: the raw formats of 100K, 1M and the later comma-separated releases."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .line_source import LineSource
from .lines import RawFile, parsed_lines
from .notes import ReadingNotes
from .records import NamedColumns, fields
from .source import Interaction, Item, Remote, Source
from .text import clean_name, identifier, joined
from .times import time_value

# In the order of the flags in u.item.
GENRES_100K = (
    "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|"
    "Film-Noir|Horror|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
).split("|")
_RATING = ("user", "movie", "rating", "time")


class _MovieLens(Source):
    homepage = "https://grouplens.org/datasets/movielens/"
    licence = (
        "For research; GroupLens asks to be acknowledged, forbids redistribution without permission and commercial use "
        "without consent. See the README of the release."
    )
    citation = """@article{harper2015movielens,
  title={The MovieLens datasets: history and context},
  author={Harper, F. Maxwell and Konstan, Joseph A.},
  journal={ACM Transactions on Interactive Intelligent Systems}, volume={5}, number={4}, year={2015}
}"""
    log_name, item_name, archive = "", "", ""

    def downloads(self, category: str | None = None) -> tuple[Remote, ...]:
        url = f"https://files.grouplens.org/datasets/movielens/{self.archive}"
        return (Remote(url, f"{url}.md5"),)

    def sort(self, paths: Sequence[RawFile]) -> tuple[list[RawFile], list[RawFile]]:
        def named(start: str) -> list[RawFile]:
            return [path for path in paths if path.name.startswith(start)]

        return named(self.log_name), named(self.item_name)


class MovieLens100K(_MovieLens, LineSource):
    """A tab-separated log; a bar-separated list of movies with a flag per genre."""

    name, label, files = "movielens-100k", "MovieLens 100K", "u.data and u.item (or ml-100k.zip)"
    log_name, item_name, older_encoding, archive = "u.data", "u.item", "latin-1", "ml-100k.zip"

    def interaction(self, line: str) -> Interaction:
        user, item, rating, time = fields(line, "\t", _RATING)
        return Interaction(identifier(user), identifier(item), time_value(time), float(rating))

    def item(self, line: str) -> Item:
        item, title, _, _, _, *flags = fields(line, "|", ("movie", "title", "date", "date", "URL", *GENRES_100K))
        genres = [genre for genre, flag in zip(GENRES_100K, flags, strict=True) if flag == "1" and genre != "unknown"]
        return Item(identifier(item), "" if title == "unknown" else clean_name(title), categories=joined(genres))


class MovieLens1M(_MovieLens, LineSource):
    """Fields separated by double colons. 1M is Latin-1; 10M, whose files have the same names, is UTF-8."""

    name, label, files = "movielens-1m", "MovieLens 1M", "ratings.dat and movies.dat (or ml-1m.zip; also those of 10M)"
    log_name, item_name, older_encoding, archive = "ratings.dat", "movies.dat", "latin-1", "ml-1m.zip"

    def interaction(self, line: str) -> Interaction:
        user, item, rating, time = fields(line, "::", _RATING)
        return Interaction(identifier(user), identifier(item), time_value(time), float(rating))

    def item(self, line: str) -> Item:
        item, title, genres = fields(line, "::", ("movie", "title", "genres"))
        return Item(identifier(item), clean_name(title), categories=joined(genres.split("|")))


class MovieLensCSV(_MovieLens):
    """Comma-separated, with quotes around titles that contain commas: 20M, 25M, 32M and the `latest` releases."""

    name, label = "movielens-25m", "MovieLens (comma-separated release)"
    files = "ratings.csv and movies.csv (or ml-25m.zip)"
    log_name, item_name, archive = "ratings.csv", "movies.csv", "ml-25m.zip"
    columns = {"user_id": "userId", "item_id": "movieId", "timestamp": "timestamp"}
    item_column = "movieId"

    def interactions(self, path: RawFile, notes: ReadingNotes) -> Iterator[Interaction]:
        return parsed_lines(path, _csv(self._interaction, self.log_columns), notes)

    def items(self, path: RawFile, notes: ReadingNotes) -> Iterator[Item]:
        return parsed_lines(path, _csv(self._item, self.item_columns), notes)

    def _interaction(self, row: dict[str, str]) -> Interaction:
        user, item, time = (self.value(row, column) for column in ("user_id", "item_id", "timestamp"))
        return Interaction(identifier(user), identifier(item), time_value(time), float(row["rating"]))

    def _item(self, row: dict[str, str]) -> Item:
        named = (genre for genre in row["genres"].split("|") if genre != "(no genres listed)")
        return Item(identifier(self.item_value(row)), clean_name(row["title"]), categories=joined(named))


def _csv(make: Callable[[dict[str, str]], Any], header: Callable[[list[str]], list[str]]) -> NamedColumns:
    return NamedColumns(make, split=_split, separator=",", header=header)


def _split(line: str) -> list[str]:
    return next(csv.reader([line], strict=True)) if '"' in line else line.split(",")
