"""Converts requests for recommendations from item ids to item rows of a catalogue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from .time_units import to_seconds, units_of

logger = logging.getLogger(__name__)
FIELDS = ("history", "query", "exclude", "allowed", "time", "last_time")


@dataclass(frozen=True)
class Request:
    """A request for recommendations, in item rows.

    Attributes:
        history: int64 (n,), item rows, oldest first; may be empty.
        query: what the user is looking for, in free text; ``None``: no query.
        exclude: int64 (m,), sorted rows that must not be returned; ``None``: no limit.
        allowed: int64 (m,), sorted, the only rows that may be returned; ``None``: no limit.
        time: when the request is made, in seconds since 1970; ``None``: now.
        last_time: when the last interaction of the history took place; ``None``: not known.
    """

    history: np.ndarray
    query: str | None = None
    exclude: np.ndarray | None = None
    allowed: np.ndarray | None = None
    time: int | None = None
    last_time: int | None = None

    def limited(self, exclude: np.ndarray | None, allowed: np.ndarray | None) -> Request:
        """The request with further limits: the union of both ``exclude`` and the intersection of both ``allowed``.

        Args:
            exclude: int64, sorted rows that must not be returned; ``None``: no further limit.
            allowed: int64, sorted, the only rows that may be returned; ``None``: no further limit.
        """
        return replace(
            self,
            exclude=_join(np.union1d, self.exclude, exclude),
            allowed=_join(np.intersect1d, self.allowed, allowed),
        )


def _join(
    join: Callable[[np.ndarray, np.ndarray], np.ndarray], first: np.ndarray | None, second: np.ndarray | None
) -> np.ndarray | None:
    if first is None or second is None:
        return second if first is None else first
    return join(first, second)


def seconds(time: Any, field: str) -> int:
    """A time in seconds since 1970.

    Args:
        time: a number of seconds (or milli-, micro- or nanoseconds, by its magnitude), ISO text such as
            ``2026-11-30T18:00:00+00:00``, or a `datetime`; without an offset in UTC.
        field: its name in error messages.

    Raises:
        ValueError: none of these.
    """
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError:
            raise ValueError(f"{field!r} is neither a number nor an ISO time: {time!r}") from None
    if isinstance(time, datetime):
        return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
    is_number = isinstance(time, (int, float, np.integer, np.floating)) and not isinstance(time, bool)
    if not is_number or not abs(time) < 2**63:
        raise ValueError(f"{field!r} must be seconds since 1970 or an ISO time, got {time!r}")
    value = np.array([int(time)])
    return int(to_seconds(value, units_of(value)[0])[0])


def _unknown_items(unknown: list[str], count: int, field: str) -> str:
    return f"{len(unknown)} of {count} items in {field!r} are not in the catalogue: {unknown[:5]}"


class RequestReader:
    """Validates requests and converts them to the rows of a catalogue.

    Args:
        item_ids: ids of the catalogue, in row order.
        supports_query: whether requests may have a ``query``.
        name: name of the model, for error messages.
    """

    def __init__(self, item_ids: Sequence[str], *, supports_query: bool = False, name: str = "the model"):
        self._row = {item: row for row, item in enumerate(item_ids)}
        self._supports_query, self._name = supports_query, name

    def rows(self, item_ids: Iterable[str], field: str, strict: bool = True) -> np.ndarray:
        """int64 (n,), the rows of item ids, in the same order.

        Args:
            item_ids: a list of item ids.
            field: name of the list in error messages.
            strict: raise an error for an item that is not in the catalogue; otherwise skip it with a warning.

        Raises:
            ValueError: not a list of strings, or, if ``strict``, an item is not in the catalogue.
        """
        if isinstance(item_ids, str) or not isinstance(item_ids, Iterable):
            raise ValueError(f"{field!r} must be a list of item ids, got {item_ids!r}")
        items = list(item_ids)
        wrong = [item for item in items if not isinstance(item, str)]
        if wrong:
            raise ValueError(f"{field!r} must hold item ids, which are strings; got {wrong[0]!r}")
        unknown = [item for item in items if item not in self._row]
        if unknown:
            if strict:
                raise ValueError(_unknown_items(unknown, len(items), field))
            self.on_unknown_items(unknown, len(items), field)
        return np.array([self._row[item] for item in items if item in self._row], dtype=np.int64)

    def on_unknown_items(self, unknown: list[str], count: int, field: str) -> None:
        """Called when items that are not in the catalogue are skipped; logs a warning.

        Args:
            unknown: ids of the items.
            count: how many items the list has, with those.
            field: name of the list.
        """
        logger.warning("%s; they are skipped", _unknown_items(unknown, count, field))

    def on_empty_history(self) -> None:
        """Called for a request with neither a known item nor a query; logs a warning."""
        logger.warning("empty history: the model's own answer without a history is given")

    def limits(self, options: Mapping[str, Any]) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Sorted rows of ``exclude`` and ``allowed``; ``None`` for no limit.

        Args:
            options: a request, or the options of a call, with item ids under these names.

        Raises:
            ValueError: see `rows`.
        """
        exclude, allowed = (
            None if options.get(name) is None else np.unique(self.rows(options[name], name))
            for name in ("exclude", "allowed")
        )
        return exclude, allowed

    def read(self, request: Mapping[str, Any], *, strict: bool = False) -> Request:
        """Convert a request to item rows.

        Args:
            request: a dictionary with ``history`` (item ids, oldest first), ``query`` (text) or both, and optionally
                ``exclude`` and ``allowed`` (item ids), ``time`` and ``last_time`` (see `seconds`).
            strict: raise an error for an item of the history that is not in the catalogue; otherwise skip it with a
                warning.

        Raises:
            ValueError: the request has another form, or an item of ``exclude`` or ``allowed`` is not in the catalogue.
        """
        if not isinstance(request, Mapping) or not ({"history", "query"} & set(request)):
            raise ValueError('a request is a dictionary with "history" (list of item ids) and/or "query" (text)')
        extra = sorted(set(request) - set(FIELDS))
        if extra:
            fields = ", ".join(f'"{name}"' for name in FIELDS)
            raise ValueError(f"a request has {fields} only; got {extra}")
        history, query = request.get("history"), request.get("query")
        if query is not None and not isinstance(query, str):
            raise ValueError(f'"query" must be text, got {query!r}')
        if query and not self._supports_query:
            raise ValueError(f"{self._name} reads histories only: it has no use for a query")
        rows = self.rows(() if history is None else history, "history", strict)
        if not len(rows) and not query:
            self.on_empty_history()
        times = (seconds(request[name], name) if request.get(name) is not None else None for name in FIELDS[-2:])
        return Request(rows, query, *self.limits(request), *times)
