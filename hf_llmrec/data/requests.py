"""Requests for recommendations in item ids -> item rows of a catalogue."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

logger = logging.getLogger(__name__)
FIELDS = ("history", "query", "exclude", "allowed")


@dataclass(frozen=True)
class Request:
    """A request in item rows.

    Attributes:
        history: int64 (n,), oldest first; may be empty.
        query: a wish in free text.
        exclude: int64, sorted rows that must not be returned; ``None``: no limit.
        allowed: int64, sorted, the only rows that may be returned; ``None``: no limit.
    """

    history: np.ndarray
    query: str | None = None
    exclude: np.ndarray | None = None
    allowed: np.ndarray | None = None

    def limited(self, exclude: np.ndarray | None, allowed: np.ndarray | None) -> Request:
        """The request with the limits of a call beside its own: whatever either excludes, and what both allow."""
        return Request(
            self.history,
            self.query,
            _join(np.union1d, self.exclude, exclude),
            _join(np.intersect1d, self.allowed, allowed),
        )


def _join(join, first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    if first is None or second is None:
        return second if first is None else first
    return join(first, second)


class RequestReader:
    """Reads requests about one catalogue.

    Args:
        item_ids: the catalogue, in row order.
        supports_query: whether requests may have a ``query``.
        name: of the model, for error messages.
    """

    def __init__(self, item_ids: Sequence[str], *, supports_query: bool = False, name: str = "the model"):
        self._row = {item: row for row, item in enumerate(item_ids)}
        self._supports_query, self._name = supports_query, name

    def rows(self, item_ids: Iterable[str], field: str, strict: bool = True) -> np.ndarray:
        """Rows of item ids, int64 (n,), in their order.

        Args:
            item_ids: a list of str.
            field: what errors call it.
            strict: an unknown item is an error; otherwise it is skipped with a warning.

        Raises:
            ValueError: no list of str, or an unknown item.
        """
        if isinstance(item_ids, str) or not isinstance(item_ids, Iterable):
            raise ValueError(f"{field!r} must be a list of item ids, got {item_ids!r}")
        items = list(item_ids)
        wrong = next((item for item in items if not isinstance(item, str)), None)
        if wrong is not None:
            raise ValueError(f"{field!r} must hold item ids, which are strings; got {wrong!r}")
        unknown = [item for item in items if item not in self._row]
        if unknown:
            message = f"{len(unknown)} of {len(items)} items in {field!r} are not in the catalogue: {unknown[:5]}"
            if strict:
                raise ValueError(message)
            logger.warning("%s; they are skipped", message)
        return np.array([self._row[item] for item in items if item in self._row], dtype=np.int64)

    def limits(self, given: Mapping[str, Any]) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Sorted rows of ``exclude`` and ``allowed`` in a request or the options of a call."""
        exclude, allowed = (
            None if given.get(name) is None else np.unique(self.rows(given[name], name))
            for name in ("exclude", "allowed")
        )
        return exclude, allowed

    def read(self, request: Mapping[str, Any], *, strict: bool = False) -> Request:
        """A request in item rows.

        Args:
            request: ``history``, item ids, oldest first; ``query``, text; at least one of both. Optionally ``exclude``
                and ``allowed``, item ids.
            strict: an unknown item of the history is an error instead of a warning.

        Raises:
            ValueError: anything else; an unknown item in ``exclude`` or ``allowed``.
        """
        if not isinstance(request, Mapping) or not ({"history", "query"} & set(request)):
            raise ValueError('a request is a dictionary with "history" (list of item ids) and/or "query" (text)')
        extra = sorted(set(request) - set(FIELDS))
        if extra:
            raise ValueError(f'a request has "history", "query", "exclude" and "allowed" only; got {extra}')
        history, query = request.get("history"), request.get("query")
        if query is not None and not isinstance(query, str):
            raise ValueError(f'"query" must be text, got {query!r}')
        if query and not self._supports_query:
            raise ValueError(f"{self._name} reads histories only: it has no use for a query")
        rows = self.rows(() if history is None else history, "history", strict)
        if not len(rows) and not query:
            logger.warning("empty history: the model's own answer without a history is given")
        return Request(rows, query, *self.limits(request))
