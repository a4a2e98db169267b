"""``convert table``: turn any table of interactions into a dataset folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from .list_options import ListOptions

_TEXT = """Any table of interactions -> a dataset folder (Parquet tables and a card). CSV and TSV (commas, semicolons,
tabs or bars between columns), JSON lines and Parquet, also compressed, also several files. Nothing is left out unless
asked for."""
_COLUMNS = {
    "user": "of user ids, or of session ids",
    "item": "of item ids",
    "time": "of times: numbers of any unit, or dates (default: rows are in order)",
    "rating": "of ratings",
    "event": "of kinds of events",
    "title": "of titles, in --items or else in the log (default: title)",
    "description": "of descriptions (default: description)",
    "brand": "of brands (default: brand)",
    "categories": "of categories (default: categories)",
}


def parser() -> argparse.ArgumentParser:
    """The command's argument parser."""
    options = ListOptions(prog="hf-llmrec convert table", description=_TEXT)
    options.add_argument(
        "--input", nargs="+", required=True, metavar="PATH", help="the log: files, folders or archives"
    )
    options.add_argument("--items", nargs="+", default=[], metavar="PATH", help="files about items")
    options.add_argument("--output_dir", required=True, help="dataset folder")
    for name, content in _COLUMNS.items():
        options.add_argument(f"--{name}", metavar="COL", required=name in ("user", "item"), help=f"column {content}")
    options.add_argument("--items_id", metavar="COL", help="column of item ids in --items (default: that of --item)")
    options.add_argument(
        "--time_format", metavar="F", help="format of times that are not ISO dates, such as %%d.%%m.%%Y"
    )
    options.add_argument(
        "--time_unit", choices=("s", "ms", "us", "ns", "D"), help="unit of times (default: by magnitude)"
    )
    options.add_argument(
        "--keep_events", nargs="+", default=[], metavar="E", help="keep only these values of column --event"
    )
    options.add_argument("--min_rating", type=float, help="keep only rows with at least this in column --rating")
    options.add_argument(
        "--drop_repeats", action="store_true", help="keep the first interaction of a user with an item"
    )
    options.add_argument("--name", help="name of the data set, for its card (default: the folder's)")
    options.add_argument(
        "--max_bad_lines", type=int, default=100, help="skip up to this many unreadable lines (default: 100)"
    )
    return options


def main(argv: list[str]) -> int:
    """Run ``convert table`` with these words; returns the exit status."""
    arguments = parser().parse_args(argv)
    from ..converters.convert import convert
    from ..converters.table import TableSource

    if arguments.max_bad_lines < 0:
        raise ValueError(f"--max_bad_lines must not be negative, got {arguments.max_bad_lines}")
    options = {name: getattr(arguments, name) for name in (*_COLUMNS, "items_id", "time_format", "min_rating")}
    try:
        source = TableSource(**options, keep_events=arguments.keep_events, item_files=arguments.items)
    except ValueError as error:
        raise ValueError(f"--{error}") from None
    report = convert(
        source,
        [*arguments.input, *arguments.items],
        arguments.output_dir,
        name=arguments.name,
        keep_repeats=not arguments.drop_repeats,
        max_bad_lines=arguments.max_bad_lines,
        time_unit=arguments.time_unit,
    )
    print(report)
    for why, count in source.left_out.items():
        print(f"{count} rows {why} left out, as asked for")
    print(preview(Path(arguments.output_dir)))
    return 0


def preview(folder: Path, rows: int = 3) -> str:
    """The first interactions of a dataset folder in words, one per line, so that users see how columns were read.

    Args:
        folder: a dataset folder.
        rows: how many interactions to show.
    """
    import pyarrow.parquet as pq

    log = pq.read_table(folder / "interactions.parquet").slice(0, rows).to_pylist()
    items = pq.read_table(folder / "items.parquet", columns=["item_id", "title"]).to_pylist()
    titles = {item["item_id"]: item["title"] for item in items}
    lines = ["first rows, as they were understood:"]
    for row in log:
        when = f"at {_day(row['timestamp'])}" if "timestamp" in row else f"as number {row['position']}"
        title = f" ({titles[row['item_id']]})" if titles[row["item_id"]] else ""
        lines.append(f"  user {row['user_id']!r} chose item {row['item_id']!r}{title} {when}")
    return "\n".join(lines)


def _day(seconds: int) -> str:
    import numpy as np

    return str(np.datetime64(seconds, "s")).replace("T", " ")
