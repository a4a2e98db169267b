"""Prompt templates: YAML in, lists of segments out, chosen by a hash that workers and resumed runs agree on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
import yaml

from .segments import Items, Text

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
ITEM_FIELDS = frozenset({"history", "item"})
TEXT_FIELDS = frozenset({"title", "titles", "description", "intention", "preference"})


@dataclass(frozen=True)
class Template:
    """One phrasing of one direction of a task.

    Attributes:
        prompt, answer: text with placeholders, see `fill`.
    """

    prompt: str
    answer: str

    def fields(self) -> set[str]:
        """Names of the placeholders in use."""
        return placeholders(self.prompt + self.answer)

    @property
    def answer_is_item(self) -> bool:
        return self.answer == "{item}"


def placeholders(pattern: str) -> set[str]:
    """Names of the ``{field}`` placeholders in a pattern."""
    return set(_PLACEHOLDER.findall(pattern))


def fill(pattern: str, values: Mapping[str, object]) -> list[Text | Items]:
    """Segments of ``pattern`` with its placeholders filled.

    Args:
        pattern: literal text with ``{field}`` placeholders.
        values: item rows (a sequence of int) for item fields, str for text fields.

    Raises:
        KeyError: a placeholder has no value.
    """
    segments: list[Text | Items] = []
    position = 0
    for match in _PLACEHOLDER.finditer(pattern):
        if match.start() > position:
            segments.append(Text(pattern[position : match.start()]))
        value = values[match.group(1)]
        segments.append(Items(value) if match.group(1) in ITEM_FIELDS else Text(value))
        position = match.end()
    if position < len(pattern):
        segments.append(Text(pattern[position:]))
    return segments


def read_templates(file: Path | Traversable) -> dict[str, tuple[Template, ...]]:
    """Templates by direction, from a YAML file.

    Args:
        file: per direction, a list of ``{prompt: ..., answer: ...}``.

    Raises:
        ValueError: the file has an unknown placeholder, or a direction without templates; names the file and direction.
    """
    result: dict[str, tuple[Template, ...]] = {}
    for direction, entries in yaml.safe_load(file.read_text(encoding="utf-8")).items():
        if not entries:
            raise ValueError(f"{file}: direction {direction!r} has no template")
        templates = tuple(Template(**entry) for entry in entries)
        for template in templates:
            unknown = template.fields() - ITEM_FIELDS - TEXT_FIELDS
            if unknown:
                raise ValueError(f"{file}: direction {direction!r} uses unknown placeholders {sorted(unknown)}")
        result[direction] = templates
    return result


def stable_hash(*values: int | np.ndarray) -> np.ndarray:
    """uint64 hash of integers, the same in every process and version (splitmix64 of each value in turn).

    Args:
        values: ints or integer arrays that broadcast together.
    """
    state = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        for value in values:
            state = np.bitwise_xor(state, np.asarray(value).astype(np.int64).astype(np.uint64))
            state = state + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state
