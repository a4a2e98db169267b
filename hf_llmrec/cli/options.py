"""Options that several commands share: which data, how it is split; and how results are shown."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import Any

from ..data.interactions import RecDataset
from ..data.same_data import data_facts
from ..data.splits import RecSplit
from ..evaluation.metrics import metric_columns

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
    columns = metric_columns(next(iter(results.values())))
    lines = ["".ljust(width) + "".join(column.rjust(13) for column in columns) + "users".rjust(9)]
    for name, metrics in results.items():
        cells = "".join(f"{metrics[column]:13.4f}" for column in columns)
        lines.append(name.ljust(width) + cells + f"{metrics['num_users']:9d}")
    return "\n".join(lines)
