"""Records of raw files: fields between separators, columns named in the first line, objects per line."""

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
    """The fields of a line.

    Args:
        line: without its end.
        separator: of the format.
        names: of its fields, for the error.
        max_splits: the last field keeps separators beyond so many; -1: there are none beyond.

    Raises:
        ValueError: not so many fields; it says which separator was expected.
    """
    values = line.split(separator, max_splits)
    if len(values) != len(names):
        wanted = f"{len(names)} ({', '.join(names)})" if len(names) < 8 else str(len(names))
        raise ValueError(
            f"{_counted(values)} instead of {wanted}, separated by {_SEPARATORS[separator]}: {line[:80]!r}"
        )
    return values


def _counted(values: Sequence[str]) -> str:
    return f"{len(values)} field{'' if len(values) == 1 else 's'}"


def record(line: str) -> dict[str, Any]:
    """A JSON object, or a dictionary as Python prints it: publishers' files, and copies of them, hold either.

    Raises:
        ValueError: the line is neither.
    """
    text = line.strip()
    try:
        value = ast.literal_eval(text) if _PYTHON.match(text) else json.loads(text)
    except (ValueError, SyntaxError) as error:
        try:  # a key may be in double quotes in Python, too
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise ValueError(f"neither a JSON object nor a Python dictionary ({error}): {text[:80]!r}") from None
    if not isinstance(value, dict):
        raise ValueError(f"neither a JSON object nor a Python dictionary: {text[:80]!r}")
    return value


class NamedColumns:
    """Parses lines by the names in the first one.

    Args:
        make: gets each further line as a dictionary, and what it returns is the line's row.
        split: parts a line.
        separator: what it is parted at, for errors.
        header: gives the names that the first line's values are, or raises if they are not the format's.
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
            wanted = f"{len(self._names)}, separated by {self._separator}"
            raise ValueError(f"{_counted(values)} instead of {wanted}: {line[:80]!r}")
        return self._make(dict(zip(self._names, values, strict=True)))
