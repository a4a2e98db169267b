"""RecBole's atomic files, in which dozens of public data sets are at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .lines import BadLines, RawFile, WrongFileError, parsed_lines
from .source import Interaction, Item, Source

# Names of columns, first come first served: atomic files fix their types, not what they are called.
TITLES = ("title", "movie_title", "item_name", "name", "product_title", "game_title", "app_name", "book_title")
CATEGORIES = ("categories", "category", "class", "genre", "genres", "tags")
DESCRIPTIONS = ("description", "abstract", "summary")
BRANDS = ("brand", "store", "author", "artist", "publisher", "developer")
TIMES = ("timestamp", "time", "date")
RATINGS = ("rating", "stars", "score")
REVIEWS = ("review_text", "review", "text")


class RecBole(Source):
    """Tab-separated ``.inter`` and ``.item`` files, whose first line has ``name:type`` for each column."""

    name, label = "recbole", "RecBole atomic files"
    homepage = "https://recbole.io/dataset_list.html"
    files = "NAME.inter and, where there is one, NAME.item"
    licence = "The terms are those of the data set's own publisher."
    citation = """@inproceedings{zhao2021recbole,
  title={RecBole: Towards a unified, comprehensive and efficient framework for recommendation algorithms},
  author={Zhao, Wayne Xin and others},
  booktitle={CIKM}, year={2021}
}"""

    def sort(self, paths: Sequence[RawFile]) -> tuple[list[RawFile], list[RawFile]]:
        def of(kind: str) -> list[RawFile]:
            return [path for path in paths if kind in path.name.split(".")[1:]]

        return of("inter"), of("item")

    def interactions(self, path: RawFile, bad: BadLines) -> Iterator[Interaction]:
        return parsed_lines(path, _Columns(self._interaction), bad)

    def items(self, path: RawFile, bad: BadLines) -> Iterator[Item]:
        return parsed_lines(path, _Columns(self._item), bad)

    def _interaction(self, row: dict[str, str]) -> Interaction:
        time, rating = _first(row, TIMES), _first(row, RATINGS)
        return Interaction(
            _needed(row, "user_id"),
            _needed(row, "item_id"),
            int(float(time)) if time else None,
            float(rating) if rating else None,
            _first(row, REVIEWS),
        )

    def _item(self, row: dict[str, str]) -> Item:
        texts = (_first(row, names) for names in (TITLES, DESCRIPTIONS, BRANDS, CATEGORIES))
        return Item(_needed(row, "item_id"), *texts)


class _Columns:
    """Parses lines by the names in the first one."""

    def __init__(self, make: Callable[[dict[str, str]], object]):
        self.make = make
        self.names: list[str] = []

    def __call__(self, line: str):
        values = line.split("\t")
        if not self.names:
            self.names = [value.split(":")[0] for value in values]
            if "item_id" not in self.names:
                raise WrongFileError(f"the first line has no item_id: {line[:200]!r}")
            return None
        if len(values) != len(self.names):
            raise ValueError(f"{len(values)} values for {len(self.names)} columns")
        return self.make(dict(zip(self.names, values, strict=True)))


def _first(row: dict[str, str], names: Sequence[str]) -> str:
    return next((row[name].strip() for name in names if row.get(name, "").strip()), "")


def _needed(row: dict[str, str], name: str) -> str:
    if not row.get(name, "").strip():
        raise ValueError(f"no {name}")
    return row[name].strip()
