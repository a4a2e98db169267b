"""Rows of a history and the item that followed -> each user's whole sequence."""

from __future__ import annotations

from collections.abc import Iterator

from .lines import RawFile, WrongFileError
from .source import Interaction


class Sequences:
    """Puts sequences together from rows that repeat their beginnings, as RecBole's ``item_id_list`` does.

    A history is all that came before its target, or the latest part of it.
    """

    def __init__(self):
        self._rows: dict[str, list[tuple[RawFile, list[str], str]]] = {}
        self._longest = 0

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, path: RawFile, user: str, history: list[str], target: str) -> None:
        """Keep a row; rows come in the order of time, or shorter histories first."""
        self._longest = max(self._longest, len(history))
        self._rows.setdefault(user, []).append((path, history, target))

    def interactions(self) -> Iterator[Interaction]:
        """Each user's sequence, oldest first.

        Raises:
            ValueError: a history does not fit to those before it.
        """
        for user, rows in self._rows.items():
            whole: list[str] = []
            # Histories of the full length are cut, so that only the order of the rows tells which comes first.
            for path, history, target in sorted(rows, key=lambda row: len(row[1])):
                more = self._more(whole, history, target)
                if more is None:
                    shown = " ".join(history[-5:])
                    raise WrongFileError(
                        f"{path}: the history ... {shown} of {user!r} does not continue that before it"
                    )
                whole += more
            for item in whole:
                yield Interaction(user, item)

    def _more(self, whole: list[str], history: list[str], target: str) -> list[str] | None:
        """What a row adds to the sequence so far; ``None`` if it does not fit."""
        is_cut = len(history) == self._longest
        if history == whole or is_cut and history and history == whole[-len(history) :]:
            return [target]
        row = [*history, target]
        if _holds(whole, row):
            return []
        for overlap in range(min(len(whole), len(row)), 0, -1):
            if whole[-overlap:] == row[:overlap]:
                return row[overlap:]
        return None if whole else row


def _holds(whole: list[str], part: list[str]) -> bool:
    size = len(part)
    return any(whole[start : start + size] == part for start in range(len(whole) - size + 1))
