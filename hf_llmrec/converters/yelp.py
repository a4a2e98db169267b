"""The Yelp Open Dataset."""

from __future__ import annotations

from collections.abc import Sequence

from .line_source import LineSource
from .lines import RawFile
from .records import record
from .source import Interaction, Item
from .text import clean_name, identifier, joined, plain
from .times import time_value


class Yelp(LineSource):
    """A JSON object per line."""

    name, label = "yelp", "Yelp Open Dataset"
    homepage = "https://www.yelp.com/dataset"
    files = "yelp_academic_dataset_review.json and yelp_academic_dataset_business.json"
    licence = "Yelp's Dataset Terms of Use: academic use, no redistribution of the data."

    columns = {"user_id": "user_id", "item_id": "business_id", "timestamp": "date"}
    item_column = "business_id"

    def sort(self, paths: Sequence[RawFile]) -> tuple[list[RawFile], list[RawFile]]:
        def named(kind: str) -> list[RawFile]:
            return [path for path in paths if f"dataset_{kind}.json" in path.name]

        return named("review"), named("business")

    def interaction(self, line: str) -> Interaction:
        row = record(line)
        who, what = identifier(self.value(row, "user_id")), identifier(self.value(row, "item_id"))
        return Interaction(
            who, what, time_value(self.value(row, "timestamp")), float(row["stars"]), plain(row.get("text"))
        )

    def item(self, line: str) -> Item:
        row = record(line)
        where = ", ".join(part for field in ("city", "state") if (part := clean_name(row.get(field))))
        categories = joined((row.get("categories") or "").split(","))
        return Item(identifier(self.item_value(row)), clean_name(row.get("name")), where, "", categories)
