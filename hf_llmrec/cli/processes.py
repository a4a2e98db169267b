"""What a command does at its start and end: logging, processes, threads."""

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
    """Log the package's messages to the terminal."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    # Of several processes only the first one logs progress; all of them log warnings.
    is_first = int(os.environ.get("RANK", 0)) == 0
    logging.getLogger("hf_llmrec").setLevel(logging.INFO if is_first else logging.WARNING)


def start_run(arguments: DatasetArguments) -> None:
    """Log to the terminal, join the launched processes, and use the machine's cores.

    Args:
        arguments: say how many threads to use.
    """
    start_logging()
    join_processes()
    set_cpu_threads(arguments.cpu_threads)


def set_cpu_threads(threads: int | None = None) -> int:
    """Set how many threads PyTorch uses on the CPU.

    ``accelerate launch`` and torchrun set OMP_NUM_THREADS=1 by default, which wastes all cores of a laptop but one. A
    larger number was chosen by the user and is kept; without these launchers, so is 1.

    Args:
        threads: how many, at least 1; default: OMP_NUM_THREADS if the user chose it, else this process's share of the
            cores.

    Returns:
        the number of threads.
    """
    if threads is None:
        launched = "ACCELERATE_USE_CPU" in os.environ or "LOCAL_WORLD_SIZE" in os.environ
        chosen = int(os.environ.get("OMP_NUM_THREADS") or 0)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        share = max(cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1)), 1)
        threads = chosen if chosen > 1 or (chosen == 1 and not launched) else share
    if threads < 1:
        raise ValueError(f"--cpu_threads must be at least 1, got {threads}")
    torch.set_num_threads(threads)
    return threads


def end_processes() -> None:
    """Wait for all processes, then leave the process group: a rank that exits without it can abort the others."""
    PartialState().wait_for_everyone()
    # Trainers are reference cycles, and a DDP model in one keeps the group's threads alive into interpreter shutdown,
    # where C++ aborts on threads that nobody joined.
    gc.collect()
    PartialState().destroy_process_group()


def run_command(kinds: tuple[type, ...], run: Callable[..., Any], argv: list[str] | None) -> int:
    """Parse the options, join the launched processes, run the command, and leave the processes.

    Args:
        kinds: dataclasses whose fields are the command's options; the first one is a `DatasetArguments`.
        run: the command; called with an object of each dataclass.
        argv: words of the command line; ``None``: those of this process.

    Returns:
        the exit status, 0.
    """
    parsed = OptionParser(kinds).parse_args_and_config(sys.argv[1:] if argv is None else argv)
    start_run(parsed[0])
    run(*parsed)
    end_processes()
    return 0
