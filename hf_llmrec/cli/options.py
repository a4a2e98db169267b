"""Options that several commands share, and how results are written."""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import PartialState

from ..data.interactions import RecDataset
from ..data.same_data import data_facts
from ..data.splits import RecSplit
from ..evaluation.metrics import METRIC_NAMES
from ..evaluation.processes import join_processes

logger = logging.getLogger("hf_llmrec")
SPLITS = ("leave_one_out", "temporal")


@dataclass
class DatasetArguments:
    """Which data, and how it is split.

    Args:
        dataset: folder or Hub id in the package's layout, or ``demo`` for the bundled synthetic shop.
        k_core: keep users and items with at least so many interactions (0: all).
        protocol: ``leave_one_out`` or ``temporal``.
        cpu_threads: threads of a run on the CPU; default: all cores, shared among the machine's processes.
    """

    dataset: str = field(metadata={"help": "folder or Hub id, or `demo` for the bundled synthetic shop"})
    k_core: int = field(default=0, metadata={"help": "keep users and items with at least so many interactions"})
    protocol: str = field(default="leave_one_out", metadata={"help": "`leave_one_out` or `temporal`"})
    cpu_threads: int | None = field(default=None, metadata={"help": "threads of a run on the CPU (default: all cores)"})

    def load(self) -> tuple[RecDataset, RecSplit]:
        """The dataset and its split."""
        if self.protocol not in SPLITS:
            raise ValueError(f"--protocol must be one of {SPLITS}, got {self.protocol!r}")
        if self.dataset == "demo":
            from ..data.demo import make_demo_shop

            dataset = make_demo_shop().dataset
            dataset = dataset.k_core(self.k_core) if self.k_core else dataset
        else:
            dataset = RecDataset.load(self.dataset, k_core=self.k_core)
        for note, count in dataset.notes.items():
            if count:
                logger.info("%s: %s: %d", self.dataset, note.replace("_", " "), count)
        return dataset, dataset.split(self.protocol)

    @property
    def facts(self) -> dict[str, Any]:
        """What a dataset and its split do not tell of themselves."""
        return {"k_core": self.k_core}

    def data_facts(self, dataset: RecDataset) -> dict[str, Any]:
        """What a model must be evaluated on: the same data, split in the same way."""
        return {**data_facts(dataset, dataset.split(self.protocol)), **self.facts}


@dataclass
class SameDataArguments(DatasetArguments):
    """Data on which models, indices and embedding files are used that must have been made from the same.

    Args:
        other_data: go on although they were made from other data or another split, which may contain what is held out.
    """

    other_data: bool = field(
        default=False,
        metadata={"help": "go on although a model, index or embedding file was made from other data or another split"},
    )

    @property
    def facts(self) -> dict[str, Any]:
        """See `DatasetArguments`; and whether the check was overruled."""
        return {**super().facts, **({"other_data": True} if self.other_data else {})}


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


def as_words(options: dict[str, Any]) -> list[str]:
    """Options as they stand on a command line."""
    words: list[str] = []
    for name, value in options.items():
        if isinstance(value, dict):
            value = json.dumps(value)
        words += [f"--{name}", *(map(str, value) if isinstance(value, list) else [str(value)])]
    return words


def metric_table(results: dict[str, dict[str, float]]) -> str:
    """Models as rows, metrics as columns, aligned for a terminal."""
    width = max(len(name) for name in results) + 2
    lines = ["".ljust(width) + "".join(column.rjust(13) for column in METRIC_NAMES) + "users".rjust(9)]
    for name, metrics in results.items():
        cells = "".join(f"{metrics[column]:13.4f}" for column in METRIC_NAMES)
        lines.append(name.ljust(width) + cells + f"{metrics['num_users']:9d}")
    return "\n".join(lines)
