"""Prompt templates: read from YAML, filled to lists of segments, and chosen by a hash that all processes agree on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
        prompt: text with placeholders, see `fill`.
        answer: text with placeholders; the model learns to generate it after the prompt.
    """

    prompt: str
    answer: str

    def fields(self) -> set[str]:
        """Names of the placeholders in the prompt and the answer."""
        return placeholders(self.prompt + self.answer)

    @property
    def answer_is_item(self) -> bool:
        """Whether the answer is a single item and nothing else."""
        return self.answer == "{item}"


def placeholders(pattern: str) -> set[str]:
    """Names of the ``{field}`` placeholders in a pattern.

    Args:
        pattern: literal text with placeholders.
    """
    return set(_PLACEHOLDER.findall(pattern))


def field_values(
    pattern: str, values: Mapping[str, object]
) -> tuple[dict[str, Sequence[int] | np.ndarray], dict[str, str]]:
    """Select and check the values of a pattern's placeholders.

    Args:
        pattern: literal text with ``{field}`` placeholders.
        values: item rows (a sequence or array of int) for `ITEM_FIELDS`, str for all other fields. Values of fields
            that do not occur in the pattern are ignored.

    Returns:
        Item rows by field and texts by field.

    Raises:
        KeyError: a placeholder has no value.
        TypeError: the value of a placeholder has the wrong type.
    """
    rows: dict[str, Sequence[int] | np.ndarray] = {}
    texts: dict[str, str] = {}
    for name in placeholders(pattern):
        value = values[name]
        if name not in ITEM_FIELDS:
            if not isinstance(value, str):
                raise TypeError(f"the value of {{{name}}} must be text, got {value!r}")
            texts[name] = value
        elif isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
            rows[name] = value
        else:
            raise TypeError(f"the value of {{{name}}} must be item rows, got {value!r}")
    return rows, texts


def fill(pattern: str, values: Mapping[str, object]) -> list[Text | Items]:
    """Segments of ``pattern`` with its placeholders filled.

    Args:
        pattern: literal text with ``{field}`` placeholders.
        values: item rows (a sequence or array of int) for `ITEM_FIELDS`, str for all other fields.

    Raises:
        KeyError: a placeholder has no value.
        TypeError: the value of a placeholder has the wrong type.
    """
    rows, texts = field_values(pattern, values)
    segments: list[Text | Items] = []
    position = 0
    for match in _PLACEHOLDER.finditer(pattern):
        if match.start() > position:
            segments.append(Text(pattern[position : match.start()]))
        name = match.group(1)
        segments.append(Items(rows[name]) if name in ITEM_FIELDS else Text(texts[name]))
        position = match.end()
    if position < len(pattern):
        segments.append(Text(pattern[position:]))
    return segments


def read_templates(file: Path | Traversable) -> dict[str, tuple[Template, ...]]:
    """Read templates from a YAML file.

    Args:
        file: maps each direction to a list of ``{prompt: ..., answer: ...}``.

    Returns:
        Templates by direction.

    Raises:
        ValueError: a template has an unknown placeholder, or a direction has no template; the message names the file
            and the direction.
    """
    by_direction: dict[str, tuple[Template, ...]] = {}
    for direction, entries in yaml.safe_load(file.read_text(encoding="utf-8")).items():
        if not entries:
            raise ValueError(f"{file}: direction {direction!r} has no template")
        templates = tuple(Template(**entry) for entry in entries)
        for template in templates:
            unknown = template.fields() - ITEM_FIELDS - TEXT_FIELDS
            if unknown:
                raise ValueError(f"{file}: direction {direction!r} uses unknown placeholders {sorted(unknown)}")
        by_direction[direction] = templates
    return by_direction


def stable_hash(*values: int | np.ndarray) -> np.ndarray:
    """Hash integers by splitmix64 of each value in turn; the same in every process and version.

    Args:
        values: ints or integer arrays whose shapes broadcast.

    Returns:
        uint64 of the broadcast shape.
    """
    state = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        for value in values:
            state = np.bitwise_xor(state, np.asarray(value).astype(np.int64).astype(np.uint64))
            state = state + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return np.asarray(state)
