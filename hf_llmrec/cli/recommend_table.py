"""``recommend --input``: recommendations for a table of histories, on one process or several."""

from __future__ import annotations

import argparse
import sys
import time

from accelerate import PartialState

from ..serving.recommend_table import recommend_table
from .decoding_words import without_the_tree
from .processes import end_processes, set_cpu_threads, start_logging

# Options of the form for one history, which a table has in its columns or does not print.
_SINGLE = {"history": [], "query": None, "json": False}


def run(arguments: argparse.Namespace) -> None:
    """Write recommendations for ``--input`` to ``--output``.

    Args:
        arguments: of the parser of `recommend`.
    """
    if not arguments.output:
        raise ValueError("--input needs --output, a folder for the recommendations")
    for name, unset in _SINGLE.items():
        if getattr(arguments, name) != unset:
            raise ValueError(f"--{name} is for one history; --input has histories of its own")
    start_logging()
    set_cpu_threads()
    names = ("top_k", "exclude", "allowed", "strict", "users_per_part", "time", "revision", "batch_size")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    if given.get("time", "").isdigit():
        given["time"] = int(given["time"])
    began = time.perf_counter()
    done = recommend_table(arguments.model, arguments.input, arguments.output, **given)
    if PartialState().is_main_process:
        state = f"{done.new_parts} new" if done.new_parts else "complete before, nothing to do"
        seconds = f"{time.perf_counter() - began:,.1f} s"
        print(f"{arguments.output}: {done.num_users:,} users in {done.num_parts:,} parts ({state}), {seconds}")
        if done.fallback:
            print(f"warning: {without_the_tree(done.fallback)}", file=sys.stderr)
    end_processes()
