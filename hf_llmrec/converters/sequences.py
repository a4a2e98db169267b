"""Merges rows of a history and the item that followed to one sequence per user."""

from __future__ import annotations

from collections.abc import Iterator

from .lines import RawFile, WrongFileError
from .source import Interaction


class Sequences:
    """Merges rows whose histories overlap, as in RecBole's ``item_id_list``, to sequences.

    A history holds all items before its target, or the latest ones up to a maximum length.
    """

    def __init__(self):
        self._rows: dict[str, list[tuple[RawFile, list[str], str]]] = {}
        self._longest = 0

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, path: RawFile, user: str, history: list[str], target: str) -> None:
        """Add a row. Rows are added in the order of time, or shorter histories first.

        Args:
            path: file of the row, for error messages.
            user: id of the user.
            history: ids of the items before the target, oldest first.
            target: id of the item that followed.
        """
        self._longest = max(self._longest, len(history))
        self._rows.setdefault(user, []).append((path, history, target))

    def interactions(self) -> Iterator[Interaction]:
        """The interactions of each user, oldest first.

        Raises:
            ValueError: a history does not continue the earlier ones.
        """
        for user, rows in self._rows.items():
            sequence: list[str] = []
            # Histories of the maximum length may be truncated, so that only the order of their rows tells which comes
            # first; the stable sort keeps it.
            for path, history, target in sorted(rows, key=lambda row: len(row[1])):
                more = self._more(sequence, history, target)
                if more is None:
                    shown = " ".join(history[-5:])
                    raise WrongFileError(
                        f"{path}: the history ... {shown} of {user!r} does not continue that before it"
                    )
                sequence += more
            for item in sequence:
                yield Interaction(user, item)

    def _more(self, sequence: list[str], history: list[str], target: str) -> list[str] | None:
        """The items that a row adds to the sequence so far; ``None`` if it does not continue the sequence."""
        is_cut = len(history) == self._longest
        if history == sequence or is_cut and history and history == sequence[-len(history) :]:
            return [target]
        row = [*history, target]
        if _contains(sequence, row):
            return []
        for overlap in range(min(len(sequence), len(row)), 0, -1):
            if sequence[-overlap:] == row[:overlap]:
                return row[overlap:]
        return None if sequence else row


def _contains(sequence: list[str], part: list[str]) -> bool:
    size = len(part)
    return any(sequence[start : start + size] == part for start in range(len(sequence) - size + 1))
