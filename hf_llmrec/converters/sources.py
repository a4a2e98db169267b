"""All sources, by name."""

from __future__ import annotations

from .amazon import Amazon2014, Amazon2018, Amazon2023
from .recbole import RecBole
from .source import Source

SOURCES: dict[str, Source] = {each.name: each() for each in (Amazon2014, Amazon2018, Amazon2023, RecBole)}
