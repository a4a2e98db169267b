"""``export-catalog``: write an LC-Rec's items and index tokens in the format of another inference engine."""

from __future__ import annotations

import argparse
import sys

from .list_options import ListOptions


def parser() -> argparse.ArgumentParser:
    """The command's argument parser."""
    options = ListOptions(
        prog="hf-llmrec export-catalog",
        description="The items of an LC-Rec with their index tokens, in a format that another engine reads.",
    )
    options.add_argument("model", help="recommender folder or Hub id")
    options.add_argument(
        "--to",
        required=True,
        choices=("flashrec", "static", "json"),
        help="flashrec: JSON for `flashrec --sid-vocab-file`; static: arrays of Google's STATIC; json: items with "
        "their tokens and token ids",
    )
    options.add_argument("--output", required=True, metavar="PATH", help="new file; with --to static a new folder")
    options.add_argument("--revision", help="branch, tag or commit of a Hub repository")
    return options


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    from ..methods.lcrec.catalog_export import export_catalog

    where = {"revision": arguments.revision} if arguments.revision else {}
    done = export_catalog(arguments.model, arguments.output, to=arguments.to, **where)
    print(f"{done.num_items} items -> {', '.join(map(str, done.files))}")
    if done.launch is not None:
        print(done.launch)
    for note in done.notes:
        print(f"note: {note}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
