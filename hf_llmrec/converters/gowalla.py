"""Gowalla check-ins, as SNAP publishes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .line_source import LineSource
from .lines import BadLines, RawFile, parsed_lines
from .source import Interaction, Item, Remote
from .text import identifier, seconds


class Gowalla(LineSource):
    """Tabs: user, time, latitude, longitude, place. Places have no names; their coordinates stand for them."""

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

    def items(self, path: RawFile, bad: BadLines) -> Iterator[Item]:
        return parsed_lines(path, self.item, BadLines(bad.limit))  # the same lines: counted once

    def interaction(self, line: str) -> Interaction:
        user, time, _, _, place = line.split("\t")
        return Interaction(identifier(user), identifier(place), seconds(time))

    def item(self, line: str) -> Item:
        _, _, latitude, longitude, place = line.split("\t")
        return Item(identifier(place), f"{float(latitude):.4f}, {float(longitude):.4f}")
