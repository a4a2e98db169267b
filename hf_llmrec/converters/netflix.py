"""The Netflix Prize."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .lines import RawFile, parsed_lines
from .notes import ReadingNotes
from .records import fields
from .source import Interaction, Item, Source
from .text import clean_name, identifier
from .times import time_value


class Netflix(Source):
    """A line ``movie:``, followed by a line ``user,rating,day`` for each of its ratings; times are whole days."""

    name, label = "netflix", "Netflix Prize"
    homepage = "https://archive.org/details/nf_prize_dataset.tar"
    files = "mv_*.txt or combined_data_*.txt, and movie_titles.txt (or .csv)"
    licence = "The Prize's terms: research, no redistribution. Netflix has withdrawn it."
    citation = """@inproceedings{bennett2007netflix,
  title={The Netflix Prize}, author={Bennett, James and Lanning, Stan},
  booktitle={KDD Cup and Workshop}, year={2007}
}"""

    def sort(self, paths: Sequence[RawFile]) -> tuple[list[RawFile], list[RawFile]]:
        logs = [path for path in paths if path.name.startswith(("mv_", "combined_data_"))]
        return logs, [path for path in paths if path.name.startswith("movie_titles")]

    def interactions(self, path: RawFile, notes: ReadingNotes) -> Iterator[Interaction]:
        return parsed_lines(path, _Ratings(), notes)

    def items(self, path: RawFile, notes: ReadingNotes) -> Iterator[Item]:
        return parsed_lines(path, self._item, notes, "latin-1")

    def _item(self, line: str) -> Item:
        # Titles may contain commas and are not quoted.
        movie, year, title = fields(line, ",", ("movie", "year", "title"), max_splits=2)
        title = clean_name(title)
        return Item(identifier(movie), f"{title} ({year})" if title and year != "NULL" else title)


class _Ratings:
    """Parses the lines of a log; a rating belongs to the last movie line before it."""

    def __init__(self):
        self.movie = ""

    def __call__(self, line: str) -> Interaction | None:
        if line.endswith(":"):
            self.movie = line[:-1]
            return None
        user, rating, day = fields(line, ",", ("customer", "rating", "date"))
        return Interaction(identifier(user), identifier(self.movie), time_value(day), float(rating))
