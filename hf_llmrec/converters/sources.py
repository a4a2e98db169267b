"""The sources by their names on the command line."""

from __future__ import annotations

from .amazon import Amazon2014, Amazon2018, Amazon2023
from .gowalla import Gowalla
from .movielens import MovieLens1M, MovieLens100K, MovieLensCSV
from .netflix import Netflix
from .recbole import RecBole
from .source import Source
from .steam import Steam
from .yelp import Yelp

_ALL = (
    *(Amazon2014, Amazon2018, Amazon2023, Gowalla, MovieLens100K, MovieLens1M, MovieLensCSV),
    *(Netflix, RecBole, Steam, Yelp),
)
SOURCES: dict[str, Source] = {each.name: each() for each in _ALL}
