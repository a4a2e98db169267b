"""Search for items by the words of their titles, or by id."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence


class TitleSearch:
    """Finds items whose titles have a word that starts with each word of a query, ignoring case and accents.

    Args:
        item_ids: ids of all items, in row order.
        titles: titles of all items, in row order.
    """

    def __init__(self, item_ids: Sequence[str], titles: Sequence[str]):
        self._row = {item: row for row, item in enumerate(item_ids)}
        self._titles = [" " + " ".join(_words(title)) for title in titles]

    def find(self, text: str, limit: int = 20) -> list[int]:
        """Rows of the matching items: the item with this id, titles that start with the query, then others by row.

        Args:
            text: the query; without words it only matches an id.
            limit: largest number of items.
        """
        words = _words(text)
        exact = [self._row[text.strip()]] if text.strip() in self._row else []
        if not words:
            return exact
        matches = [row for row, title in enumerate(self._titles) if all(f" {word}" in title for word in words)]
        start = " " + " ".join(words)
        matches.sort(key=lambda row: (not self._titles[row].startswith(start), row))
        return list(dict.fromkeys([*exact, *matches]))[:limit]


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"\w+", "".join(letter for letter in plain if not unicodedata.combining(letter)))
