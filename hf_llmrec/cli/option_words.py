"""Options as words of a command line, for commands that start others."""

from __future__ import annotations

import json
from typing import Any


def as_words(options: dict[str, Any]) -> list[str]:
    """Options as words of a command line.

    Args:
        options: values by name; dictionaries become JSON.
    """
    words: list[str] = []
    for name, value in options.items():
        if isinstance(value, dict):
            value = json.dumps(value)
        words += [f"--{name}", *(map(str, value) if isinstance(value, list) else [str(value)])]
    return words
