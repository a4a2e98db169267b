"""MovieLens in the raw formats of 100K, 1M, and the later comma-separated releases."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from .line_source import LineSource
from .lines import RawFile
from .source import Interaction, Item, Remote
from .text import identifier, joined

# In the order of the flags.
GENRES_100K = (
    "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|"
    "Film-Noir|Horror|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
).split("|")


class _MovieLens(LineSource):
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


class MovieLens100K(_MovieLens):
    """Tabs in the log, bars and a flag per genre in the list of movies."""

    name, label, files = "movielens-100k", "MovieLens 100K", "u.data and u.item (or ml-100k.zip)"
    log_name, item_name, encoding, archive = "u.data", "u.item", "latin-1", "ml-100k.zip"

    def interaction(self, line: str) -> Interaction:
        user, item, rating, time = line.split("\t")
        return Interaction(identifier(user), identifier(item), int(time), float(rating))

    def item(self, line: str) -> Item:
        item, title, _, _, _, *flags = line.split("|")
        if len(flags) != len(GENRES_100K):
            raise ValueError(f"{len(flags)} flags for {len(GENRES_100K)} genres")
        genres = [genre for genre, flag in zip(GENRES_100K, flags, strict=True) if flag == "1" and genre != "unknown"]
        return Item(identifier(item), "" if title == "unknown" else title, categories=joined(genres))


class MovieLens1M(_MovieLens):
    """Double colons between fields."""

    name, label, files = "movielens-1m", "MovieLens 1M", "ratings.dat and movies.dat (or ml-1m.zip)"
    log_name, item_name, encoding, archive = "ratings.dat", "movies.dat", "latin-1", "ml-1m.zip"

    def interaction(self, line: str) -> Interaction:
        user, item, rating, time = line.split("::")
        return Interaction(identifier(user), identifier(item), int(time), float(rating))

    def item(self, line: str) -> Item:
        item, title, genres = line.split("::")
        return Item(identifier(item), title, categories=joined(genres.split("|")))


class MovieLensCSV(_MovieLens):
    """Commas, and quotes around titles that have some: 20M, 25M, 32M and the `latest` releases."""

    name, label = "movielens-25m", "MovieLens (comma-separated release)"
    files = "ratings.csv and movies.csv (or ml-25m.zip)"
    log_name, item_name, archive = "ratings.csv", "movies.csv", "ml-25m.zip"

    def interaction(self, line: str) -> Interaction | None:
        user, item, rating, time = line.split(",")
        return None if user == "userId" else Interaction(identifier(user), identifier(item), int(time), float(rating))

    def item(self, line: str) -> Item | None:
        item, title, genres = next(csv.reader([line]))
        if item == "movieId":
            return None
        named = (genre for genre in genres.split("|") if genre != "(no genres listed)")
        return Item(identifier(item), title, categories=joined(named))
