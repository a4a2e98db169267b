"""Texts and identifiers of raw files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import unescape
from html.entities import html5
from typing import Any

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)((?:\s|/)[^<>]{0,500})?>")
# Elements of HTML that texts are marked up with; "<Black>" is a word, as is whatever else is not here.
_ELEMENTS = frozenset(
    "a abbr address article b big blockquote body br caption center cite code col dd del div dl dt em font footer form "
    "h1 h2 h3 h4 h5 h6 head header hr html i iframe img input ins kbd label li link main map mark meta nav ol option p "
    "pre q s samp script section select small span strike strong style sub sup table tbody td tfoot th thead title tr "
    "tt u ul var wbr".split()
)
# Elements that have no end, or need none.
_WITHOUT_END = frozenset("br dd dt hr img input li link meta option p td th tr wbr".split())


def plain(value: Any) -> str:
    """Prose, such as a description or a review, without markup, entities and line breaks.

    Markup is removed in whatever depth it is escaped. Words in angle brackets that are no markup stay: names of other
    than HTML's elements, and elements that are opened but never closed.

    Args:
        value: text, or a list of texts, which are joined with spaces; empty and ``None`` give "".
    """
    return " ".join(_without_tags(unescaped(_text(value))).split())


def clean_name(value: Any) -> str:
    """A title, brand or category, as `plain`, but what is escaped is taken for text: ``&lt;b&gt;`` is "<b>"."""
    return " ".join(unescaped(_without_tags(_text(value))).split())


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        value = " ".join(str(part) for part in value)
    return str(value) if value else ""


def unescaped(text: str) -> str:
    """Text without HTML's entities, however often they were escaped. An ``&`` without a semicolon stays."""
    while (found := _ENTITY.sub(_character, text)) != text:
        text = found
    return text


def _character(entity: re.Match[str]) -> str:
    is_known = entity[0][1] == "#" or entity[0][1:] in html5
    return unescape(entity[0]) if is_known else entity[0]


def _without_tags(text: str) -> str:
    closed = {tag[2].lower() for tag in _TAG.finditer(text) if tag[1]}

    def replaced(tag: re.Match[str]) -> str:
        is_closing, element, rest = bool(tag[1]), tag[2].lower(), tag[3] or ""
        has_attributes = "=" in rest or rest.endswith("/")
        is_markup = is_closing or has_attributes or element in _WITHOUT_END or element in closed
        return " " if element in _ELEMENTS and is_markup else tag[0]

    return _TAG.sub(replaced, text)


def joined(parts: Iterable[Any]) -> str:
    """Categories as one text, each once."""
    return ", ".join(dict.fromkeys(text for part in parts if (text := clean_name(part))))


def identifier(value: Any) -> str:
    """An id as text.

    Raises:
        ValueError: there is none.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise ValueError(f"no id: {value!r}")
    return str(value).strip()
