"""``convert times``: add the times of interactions to a dataset folder that has positions only."""

from __future__ import annotations

import argparse

from .list_options import ListOptions


def parser() -> argparse.ArgumentParser:
    """The command's argument parser."""
    options = ListOptions(
        prog="hf-llmrec convert times",
        description="A dataset folder with positions, and a table of times -> the same dataset with timestamps. The "
        "order of interactions, and so what is held out, stays that of the positions.",
    )
    options.add_argument("--dataset", required=True, help="dataset folder or Hub id")
    options.add_argument(
        "--times",
        required=True,
        metavar="FILE",
        help="Parquet file with user_id, item_id, position and timestamp of every interaction",
    )
    options.add_argument("--output_dir", required=True, help="dataset folder that is written")
    return options


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    from ..data.adding_times import add_times_to_folder

    print(add_times_to_folder(arguments.dataset, arguments.times, arguments.output_dir))
    return 0
