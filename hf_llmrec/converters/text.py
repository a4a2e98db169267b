"""Cleans texts and identifiers of raw files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import unescape
from html.entities import html5
from typing import Any

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)((?:\s|/)[^<>]{0,500})?>")
# HTML elements that occur as markup in texts. Any other name in angle brackets, such as "<Black>", is a word.
_ELEMENTS = frozenset(
    "a abbr address article b big blockquote body br caption center cite code col dd del div dl dt em font footer form "
    "h1 h2 h3 h4 h5 h6 head header hr html i iframe img input ins kbd label li link main map mark meta nav ol option p "
    "pre q s samp script section select small span strike strong style sub sup table tbody td tfoot th thead title tr "
    "tt u ul var wbr".split()
)
# Elements without an end tag, or whose end tag is optional.
_WITHOUT_END = frozenset("br dd dt hr img input li link meta option p td th tr wbr".split())


def plain(value: Any) -> str:
    """Clean prose, such as a description or a review, from markup, entities and line breaks.

    Markup is removed however often it was escaped. Words in angle brackets that are not markup stay: names that are not
    HTML elements, and elements that are opened but never closed.

    Args:
        value: text, or a list of texts, which are joined with spaces; ``None`` and empty values give "".
    """
    return " ".join(_without_tags(unescaped(_text(value))).split())


def clean_name(value: Any) -> str:
    """Clean a title, brand or category. In contrast to `plain`, escaped markup is text: ``&lt;b&gt;`` becomes "<b>".

    Args:
        value: text, or a list of texts, which are joined with spaces; ``None`` and empty values give "".
    """
    return " ".join(unescaped(_without_tags(_text(value))).split())


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        value = " ".join(str(part) for part in value)
    return str(value) if value else ""


def unescaped(text: str) -> str:
    """Replace HTML entities, however often they were escaped. An ``&`` without a semicolon stays.

    Args:
        text: text with entities.
    """
    while (replaced := _ENTITY.sub(_character, text)) != text:
        text = replaced
    return text


def _character(entity: re.Match[str]) -> str:
    is_entity = entity[0][1] == "#" or entity[0][1:] in html5
    return unescape(entity[0]) if is_entity else entity[0]


def _without_tags(text: str) -> str:
    closed = {tag[2].lower() for tag in _TAG.finditer(text) if tag[1]}

    def replaced(tag: re.Match[str]) -> str:
        is_closing, element, rest = bool(tag[1]), tag[2].lower(), tag[3] or ""
        has_attributes = "=" in rest or rest.endswith("/")
        is_markup = is_closing or has_attributes or element in _WITHOUT_END or element in closed
        return " " if element in _ELEMENTS and is_markup else tag[0]

    return _TAG.sub(replaced, text)


def joined(parts: Iterable[Any]) -> str:
    """Join categories to one text, without repeats.

    Args:
        parts: names of categories.
    """
    return ", ".join(dict.fromkeys(text for part in parts if (text := clean_name(part))))


def identifier(value: Any) -> str:
    """Convert an id to text.

    Args:
        value: a string or an integer.

    Raises:
        ValueError: another type, or an empty string.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise ValueError(f"no id: {value!r}")
    return str(value).strip()
