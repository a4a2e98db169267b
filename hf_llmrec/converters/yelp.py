"""The Yelp Open Dataset."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .line_source import LineSource
from .lines import RawFile
from .source import Interaction, Item
from .text import identifier, joined, plain, seconds


class Yelp(LineSource):
    """JSON, a record per line."""

    name, label = "yelp", "Yelp Open Dataset"
    homepage = "https://www.yelp.com/dataset"
    files = "yelp_academic_dataset_review.json and yelp_academic_dataset_business.json"
    licence = "Yelp's Dataset Terms of Use: academic use, no redistribution of the data."

    def sort(self, paths: Sequence[RawFile]) -> tuple[list[RawFile], list[RawFile]]:
        def named(kind: str) -> list[RawFile]:
            return [path for path in paths if f"dataset_{kind}.json" in path.name]

        return named("review"), named("business")

    def interaction(self, line: str) -> Interaction:
        row = json.loads(line)
        who, what = identifier(row["user_id"]), identifier(row["business_id"])
        return Interaction(who, what, seconds(row["date"]), float(row["stars"]), plain(row.get("text")))

    def item(self, line: str) -> Item:
        row = json.loads(line)
        where = ", ".join(part for name in ("city", "state") if (part := plain(row.get(name))))
        categories = joined((row.get("categories") or "").split(","))
        return Item(identifier(row["business_id"]), plain(row.get("name")), where, "", categories)
