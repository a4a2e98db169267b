"""Writes the files of every source from a log and a list of items, in the publisher's format or a little beside it."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .formats import FORMATS

# Of each source: names of the log's columns, where there are some, and the separator, where there is one.
COLUMNS = {
    **dict.fromkeys(("amazon-2014", "amazon-2018"), ("reviewerID", "asin", "unixReviewTime")),
    "amazon-2023": ("user_id", "parent_asin", "timestamp"),
    "movielens-25m": ("userId", "movieId", "timestamp"),
    "recbole": ("user_id", "item_id", "timestamp"),
    "steam": ("username", "product_id", "date"),
    "yelp": ("user_id", "business_id", "date"),
}
SEPARATORS = {
    **dict.fromkeys(("gowalla", "movielens-100k", "recbole"), ("\t", "tabs")),
    "movielens-1m": ("::", "double colons"),
    **dict.fromkeys(("movielens-25m", "netflix"), (",", "commas")),
}
RECORDS = ("amazon-2014", "amazon-2018", "amazon-2023", "steam", "yelp")
WITH_TITLES = tuple(name for name in FORMATS if name != "gowalla")
TIMES = ("2020-09-13T12:26:40Z", "2020-09-14T12:26:40Z", "2020-09-15T12:26:40Z")
SECONDS = (1600000000, 1600086400, 1600172800)
Log = list[tuple[str, str, Any]]


def as_json(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False)


def log_lines(name: str, log: Log, columns: tuple[str, ...] | None = None, dump: Callable = as_json) -> list[str]:
    """A log in a source's format; times are written as they are given."""
    user_id, item_id, timestamp = columns or COLUMNS.get(name, ("", "", ""))
    if name in RECORDS:
        more = {"overall": 5.0, "rating": 5.0, "stars": 5.0, "reviewText": "Good", "text": "Good"}
        return [dump({user_id: user, item_id: item, timestamp: time, **more}) for user, item, time in log]
    if name == "netflix":
        return [line for user, item, time in log for line in (f"{item}:", f"{user},5,{time}")]
    make = {
        "gowalla": "{0}\t{2}\t1.5\t2.5\t{1}",
        "movielens-100k": "{0}\t{1}\t5\t{2}",
        "movielens-1m": "{0}::{1}::5::{2}",
        "movielens-25m": "{0},{1},5.0,{2}",
        "recbole": "{0}\t{1}\t{2}",
    }[name].format
    head = {
        "movielens-25m": [f"{user_id},{item_id},rating,{timestamp}"],
        "recbole": [f"{user_id}:token\t{item_id}:token\t{timestamp}:float"],
    }
    return [*head.get(name, []), *(make(*row) for row in log)]


def item_lines(name: str, items: list[tuple[str, str]], item_id: str | None = None, dump=as_json) -> list[str]:
    """A list of (id, title) in a source's format."""
    item_id = item_id or {"movielens-25m": "movieId", "steam": "id"}.get(name) or COLUMNS.get(name, ("", ""))[1]
    if name in RECORDS:
        title = {"steam": "app_name", "yelp": "name"}.get(name, "title")
        return [dump({item_id: item, title: text, "brand": None, "is_open": True}) for item, text in items]
    if name == "movielens-25m":
        file = io.StringIO()
        csv.writer(file).writerows([(item_id, "title", "genres"), *((item, text, "Drama") for item, text in items)])
        return file.getvalue().splitlines()
    make = {
        "movielens-100k": "{0}|{1}||||" + "|".join("0" * 19),
        "movielens-1m": "{0}::{1}::Drama",
        "netflix": "{0},NULL,{1}",
        "recbole": "{0}\t{1}",
    }[name].format
    head = {"recbole": [f"{item_id}:token\tmovie_title:token_seq"]}
    return [*head.get(name, []), *(make(*row) for row in items)]


def publish(folder: Path, name: str, log: list[str], items: list[str] = (), encoding: str = "utf-8") -> Path:
    """Write lines of both files under the publisher's names, not compressed."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, lines in zip(FORMATS[name], (log, items), strict=False):
        plain = file.removesuffix(".gz").removesuffix(".bz2").removesuffix(".zip")
        (folder / plain).write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    return folder
