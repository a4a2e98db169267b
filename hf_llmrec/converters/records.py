"""Parses lines of raw files: fields between separators, columns named in the first line, one object per line."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from .lines import WrongFileError

_SEPARATORS = {"\t": "tabs", ",": "commas", "::": "double colons", "|": "bars"}
_PYTHON = re.compile(r"\{\s*[uU]?'")


def fields(line: str, separator: str, names: Sequence[str], *, max_splits: int = -1) -> list[str]:
    """Split a line into its fields.

    Args:
        line: the line without its line break.
        separator: separator of the format.
        names: names of the fields; their number is checked.
        max_splits: maximum number of splits, so that the last field may contain separators; -1: no maximum.

    Raises:
        ValueError: the number of fields is wrong. The message names the separator.
    """
    values = line.split(separator, max_splits)
    if len(values) != len(names):
        expected = f"{len(names)} ({', '.join(names)})" if len(names) < 8 else str(len(names))
        raise ValueError(
            f"{_counted(values)} instead of {expected}, separated by {_SEPARATORS[separator]}: {line[:80]!r}"
        )
    return values


def _counted(values: Sequence[str]) -> str:
    return f"{len(values)} field{'' if len(values) == 1 else 's'}"


def record(line: str) -> dict[str, Any]:
    """Parse a JSON object or a Python dictionary literal; publishers' files and copies of them hold either.

    Args:
        line: the line.

    Raises:
        ValueError: the line is neither.
    """
    text = line.strip()
    try:
        value = ast.literal_eval(text) if _PYTHON.match(text) else json.loads(text)
    except (ValueError, SyntaxError) as error:
        try:  # Python may quote the first key with double quotes, too
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise ValueError(f"neither a JSON object nor a Python dictionary ({error}): {text[:80]!r}") from None
    if not isinstance(value, dict):
        raise ValueError(f"neither a JSON object nor a Python dictionary: {text[:80]!r}")
    return value


class NamedColumns:
    """Parses the lines of a file whose first line names the columns.

    Args:
        make: converts a line, as a dictionary from column names to values, to a row.
        split: splits a line into values.
        separator: separator of the values, for error messages.
        header: converts the values of the first line to column names; raises if they do not fit the format.
    """

    def __init__(
        self,
        make: Callable[[dict[str, str]], Any],
        *,
        split: Callable[[str], list[str]],
        separator: str,
        header: Callable[[list[str]], list[str]],
    ):
        self._make, self._split, self._header = make, split, header
        self._separator = _SEPARATORS[separator]
        self._names: list[str] = []

    def __call__(self, line: str) -> Any:
        values = self._split(line)
        if not self._names:
            try:
                self._names = self._header([value.strip() for value in values])
            except ValueError as error:
                reads = f"columns are separated by {self._separator}, and it reads {line[:200]!r}"
                raise WrongFileError(f"the first line has {error}; {reads}") from None
            return None
        if len(values) != len(self._names):
            expected = f"{len(self._names)}, separated by {self._separator}"
            raise ValueError(f"{_counted(values)} instead of {expected}: {line[:80]!r}")
        return self._make(dict(zip(self._names, values, strict=True)))
