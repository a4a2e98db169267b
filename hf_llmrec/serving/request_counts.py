"""`CountingReader`: reads many requests and counts what would be a warning each."""

from __future__ import annotations

from collections.abc import Iterable

from ..data.requests import Request, RequestReader
from ..recommender import Recommender
from .histories import Histories, HistoryRow

COUNTS = ("unknown_items", "rows_with_unknown_items", "empty_histories")


class CountingReader(RequestReader):
    """Reads the rows of a table of histories.

    Args:
        recommender: gives the catalogue.
        histories: the table, which error messages name.
        strict: an unknown item of a history is an error.

    Attributes:
        counts: ``unknown_items`` in histories, ``rows_with_unknown_items`` and ``empty_histories``: histories without
            a known item.
        examples: some of the unknown items.
    """

    def __init__(self, recommender: Recommender, histories: Histories, *, strict: bool = False):
        name = recommender.model.name_or_path or f"a {recommender.method} recommender"
        super().__init__(recommender.item_ids, supports_query=recommender.supports_query, name=name)
        self._histories, self._strict = histories, strict
        self.counts = dict.fromkeys(COUNTS, 0)
        self.examples: list[str] = []

    def on_unknown_items(self, unknown, count, field):
        self.counts["unknown_items"] += len(unknown)
        self.counts["rows_with_unknown_items"] += 1
        self.examples += unknown[: max(5 - len(self.examples), 0)]

    def on_empty_history(self):
        self.counts["empty_histories"] += 1

    def requests(self, rows: Iterable[HistoryRow]) -> list[Request]:
        """Requests in item rows of the catalogue.

        Args:
            rows: of the table.

        Raises:
            ValueError: a request that cannot be read; the message names file and row.
        """
        return [self._request(row) for row in rows]

    def _request(self, row: HistoryRow) -> Request:
        try:
            return self.read(row.request, strict=self._strict)
        except ValueError as error:
            raise ValueError(f"{self._histories.at(row)}: {error}") from error


def warnings(counts: dict[str, int], examples: list[str]) -> list[str]:
    """What `CountingReader` counted, as lines for people.

    Args:
        counts: as the reader's attribute.
        examples: as the reader's attribute.
    """
    lines = []
    if counts["unknown_items"]:
        lines.append(
            f"{counts['unknown_items']:,} items in {counts['rows_with_unknown_items']:,} histories are not in the "
            f"catalogue and are skipped, such as {examples[:5]}"
        )
    if counts["empty_histories"]:
        lines.append(
            f"{counts['empty_histories']:,} histories have no known item: the model's own answer without a history is "
            "given"
        )
    return lines
