"""Gowalla check-ins, as published by SNAP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .line_source import LineSource
from .lines import RawFile, parsed_lines
from .notes import ReadingNotes
from .records import fields
from .source import Interaction, Item, Remote
from .text import identifier
from .times import time_value

_FIELDS = ("user", "time", "latitude", "longitude", "place")


class Gowalla(LineSource):
    """Tab-separated user, time, latitude, longitude and place. Places have no names: coordinates are their titles."""

    name, label = "gowalla", "Gowalla check-ins"
    homepage = "https://snap.stanford.edu/data/loc-gowalla.html"
    files = "loc-gowalla_totalCheckins.txt.gz"
    licence = "SNAP states no licence for it; it is used for research."
    citation = """@inproceedings{cho2011friendship,
  title={Friendship and mobility: user movement in location-based social networks},
  author={Cho, Eunjoon and Myers, Seth A. and Leskovec, Jure},
  booktitle={KDD}, year={2011}
}"""

    def downloads(self, category: str | None = None) -> tuple[Remote, ...]:
        return (Remote("https://snap.stanford.edu/data/loc-gowalla_totalCheckins.txt.gz"),)

    def sort(self, paths: Sequence[RawFile]) -> tuple[list[RawFile], list[RawFile]]:
        logs = [path for path in paths if "totalCheckins" in path.name]
        return logs, logs

    def items(self, path: RawFile, notes: ReadingNotes) -> Iterator[Item]:
        return parsed_lines(path, self.item, ReadingNotes(notes.limit))  # bad lines were counted when the log was read

    def interaction(self, line: str) -> Interaction:
        user, time, _, _, place = fields(line, "\t", _FIELDS)
        return Interaction(identifier(user), identifier(place), time_value(time))

    def item(self, line: str) -> Item:
        _, _, latitude, longitude, place = fields(line, "\t", _FIELDS)
        return Item(identifier(place), f"{float(latitude):.4f}, {float(longitude):.4f}")
