"""How a command begins and ends: logging, processes, threads."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

import torch
from accelerate import PartialState

from ..evaluation.processes import join_processes
from .option_parser import OptionParser
from .options import DatasetArguments


def start_logging() -> None:
    """Log the package's notices to the terminal."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    # Of several processes the first one tells what goes on; what is wrong, each.
    is_first = int(os.environ.get("RANK", 0)) == 0
    logging.getLogger("hf_llmrec").setLevel(logging.INFO if is_first else logging.WARNING)


def start_run(arguments: DatasetArguments) -> None:
    """Log to the terminal, join the launched processes, and use the machine's cores."""
    start_logging()
    join_processes()
    set_cpu_threads(arguments.cpu_threads)


def set_cpu_threads(wanted: int | None = None) -> int:
    """Let PyTorch use ``wanted`` threads, by default this process's share of the cores; returns the number.

    ``accelerate launch`` and torchrun set OMP_NUM_THREADS=1 unless told otherwise, which on a laptop means one core of
    many. A larger number in OMP_NUM_THREADS is somebody's choice and stays; outside ``accelerate launch`` any is.
    """
    if wanted is None:
        launched = "ACCELERATE_USE_CPU" in os.environ or "LOCAL_WORLD_SIZE" in os.environ
        chosen = int(os.environ.get("OMP_NUM_THREADS") or 0)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        share = max(cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1)), 1)
        wanted = chosen if chosen > 1 or (chosen == 1 and not launched) else share
    if wanted < 1:
        raise ValueError(f"--cpu_threads must be at least 1, got {wanted}")
    torch.set_num_threads(wanted)
    return wanted


def end_processes() -> None:
    """Wait for all processes, then leave the process group: a rank that just exits can abort the others."""
    PartialState().wait_for_everyone()
    # Trainers are reference cycles, and a DDP model in one keeps the group's threads alive into interpreter shutdown,
    # where C++ aborts on threads that nobody joined.
    gc.collect()
    PartialState().destroy_process_group()


def run_command(kinds: tuple[type, ...], run: Callable[..., Any], argv: list[str] | None) -> int:
    """Parse, join the launched processes, run, and leave them; returns the exit status.

    Args:
        kinds: dataclasses whose fields are the command's options; the first one's says which data.
        run: called with an object of each.
        argv: words of the command line; ``None``: the process's.
    """
    parsed = OptionParser(kinds).parse_args_and_config(sys.argv[1:] if argv is None else argv)
    start_run(parsed[0])
    run(*parsed)
    end_processes()
    return 0
