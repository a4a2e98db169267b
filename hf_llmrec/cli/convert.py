"""``convert``: turn the raw files of a public data set into a dataset folder."""

from __future__ import annotations

import argparse
import sys

from ..converters.sources import SOURCES
from . import convert_lcrec, convert_table, convert_times
from .list_options import ListOptions


def parser() -> argparse.ArgumentParser:
    """The command's argument parser."""
    sources = "\n".join(f"  {name:<14}{each.label}: {each.files}" for name, each in SOURCES.items())
    options = ListOptions(
        prog="hf-llmrec convert",
        description="Raw files of a public data set -> a dataset folder (Parquet tables and a card).",
        epilog=f"sources, and the files they read (.gz, .bz2 and .zip as they are):\n{sources}\n"
        "  table         any table of your own: see `hf-llmrec convert table --help`\n"
        "  lcrec         the JSON files of LC-Rec, LETTER and similar: see `hf-llmrec convert lcrec --help`\n"
        "  times         adds times to a dataset folder: see `hf-llmrec convert times --help`",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("source", choices=sorted(SOURCES), metavar="SOURCE", help="which publisher's format")
    options.add_argument("--input", nargs="+", default=[], metavar="PATH", help="raw files, folders, or archives")
    options.add_argument("--download", metavar="DIR", help="download the files from the publisher to this folder")
    options.add_argument("--category", help="category to --download, of data sets that have several (Amazon)")
    options.add_argument("--output_dir", required=True, help="dataset folder")
    for column, content in {"user_id": "user ids", "item_id": "item ids", "timestamp": "times"}.items():
        options.add_argument(f"--{column}_column", metavar="NAME", help=f"name of the log's column of {content}")
    options.add_argument("--name", help="name of the data set, for its card (default: the folder's)")
    options.add_argument("--keep_repeats", action="store_true", help="keep all interactions of a user with an item")
    options.add_argument(
        "--max_bad_lines", type=int, default=100, help="skip up to this many unreadable lines (default: 100)"
    )
    options.add_argument("--push_to_hub", metavar="ID", help="publish the folder as this dataset on the Hub")
    options.add_argument("--private", action="store_true", help="make a private repository")
    options.add_argument("--token", help="access token (default: that of `hf auth login`)")
    return options


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    others = {"table": convert_table, "lcrec": convert_lcrec, "times": convert_times}
    if argv and argv[0] in others:
        return others[argv[0]].main(argv[1:])
    arguments = parser().parse_args(argv)
    from ..converters.convert import convert

    if arguments.max_bad_lines < 0:
        raise ValueError(f"--max_bad_lines must not be negative, got {arguments.max_bad_lines}")
    for name, other in {"category": "download", "private": "push_to_hub", "token": "push_to_hub"}.items():
        if getattr(arguments, name) and not getattr(arguments, other):
            raise ValueError(f"--{name} is about --{other}, which is not given")
    if bool(arguments.input) == bool(arguments.download):
        raise ValueError("give --input or --download")
    columns = {column: getattr(arguments, f"{column}_column") for column in ("user_id", "item_id", "timestamp")}
    source, inputs = SOURCES[arguments.source].with_columns(**columns), arguments.input
    if arguments.download:
        from ..converters.download import download

        inputs = [download(remote, arguments.download) for remote in source.downloads(arguments.category)]
    report = convert(
        source,
        inputs,
        arguments.output_dir,
        name=arguments.name,
        keep_repeats=arguments.keep_repeats,
        max_bad_lines=arguments.max_bad_lines,
    )
    print(report)
    if arguments.push_to_hub:
        from ..hub.export import push_folder
        from ..hub.published_files import dataset_files

        where = {"private": arguments.private or None, "token": arguments.token}
        folder = arguments.output_dir
        print(push_folder(folder, dataset_files(folder), arguments.push_to_hub, repo_type="dataset", **where))
    return 0


if __name__ == "__main__":
    sys.exit(main())
