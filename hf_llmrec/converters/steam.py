"""Steam: game reviews."""

from __future__ import annotations

from collections.abc import Sequence

from .line_source import LineSource
from .lines import RawFile
from .records import record
from .source import Interaction, Item, Remote
from .text import clean_name, identifier, joined, plain
from .times import time_value


class Steam(LineSource):
    """A Python dictionary literal per line. Users are identified by their names; times are whole days."""

    name, label = "steam", "Steam reviews"
    homepage = "https://cseweb.ucsd.edu/~jmcauley/datasets.html#steam_data"
    files = "steam_reviews.json.gz (or steam_new.json.gz) and steam_games.json.gz"
    licence = "Its publisher states no licence; the reviews belong to their authors and Valve. It is used for research."
    citation = """@inproceedings{kang2018self,
  title={Self-attentive sequential recommendation},
  author={Kang, Wang-Cheng and McAuley, Julian},
  booktitle={ICDM}, year={2018}
}"""

    columns = {"user_id": "username", "item_id": "product_id", "timestamp": "date"}
    item_column = "id"

    def downloads(self, category: str | None = None) -> tuple[Remote, ...]:
        base = "https://cseweb.ucsd.edu/~wckang"
        return Remote(f"{base}/steam_reviews.json.gz"), Remote(f"{base}/steam_games.json.gz")

    def sort(self, paths: Sequence[RawFile]) -> tuple[list[RawFile], list[RawFile]]:
        about = [path for path in paths if "games" in path.name]
        return [path for path in paths if path not in about and "steam" in path.name], about

    def interaction(self, line: str) -> Interaction:
        row = record(line)
        who, what = identifier(self.value(row, "user_id")), identifier(self.value(row, "item_id"))
        return Interaction(who, what, time_value(self.value(row, "timestamp")), text=plain(row.get("text")))

    def item(self, line: str) -> Item | None:
        row = record(line)
        if self.item_value(row) is None:  # bundles and advertisements have no id
            return None
        names = [*(row.get("genres") or ()), *(row.get("tags") or ())]
        title = clean_name(row.get("app_name")) or clean_name(row.get("title"))
        return Item(identifier(self.item_value(row)), title, "", clean_name(row.get("developer")), joined(names))
