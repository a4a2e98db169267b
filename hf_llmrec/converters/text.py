"""Texts and identifiers of raw files."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from html import unescape
from typing import Any

_TAG = re.compile(r"</?[A-Za-z][^<>]{0,500}>")


def plain(value: Any) -> str:
    """Text without tags, entities and line breaks; of a list, its parts with spaces between."""
    if isinstance(value, (list, tuple)):
        value = " ".join(str(part) for part in value)
    return " ".join(_TAG.sub(" ", unescape(str(value))).split()) if value else ""


def joined(parts: Iterable[Any]) -> str:
    """Categories as one text, each once."""
    return ", ".join(dict.fromkeys(name for part in parts if (name := plain(part))))


def identifier(value: Any) -> str:
    """An id as text.

    Raises:
        ValueError: there is none.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise ValueError(f"no id: {value!r}")
    return str(value).strip()


def literal(line: str) -> dict[str, Any]:
    """A JSON object, or a dictionary as Python prints it: some publishers' files have single quotes."""
    value = json.loads(line) if line.startswith('{"') else ast.literal_eval(line)
    if not isinstance(value, dict):
        raise ValueError(f"no record: {line[:80]!r}")
    return value


def seconds(text: str) -> int:
    """Seconds since 1970 of an ISO date or time, in UTC where it says nothing else."""
    found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
