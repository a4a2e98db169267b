"""Options that several commands share: the data, and how it is split."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from ..data.cold_items import ColdItems
from ..data.interactions import RecDataset
from ..data.same_data import data_facts
from ..data.splits import RecSplit

logger = logging.getLogger("hf_llmrec")
SPLITS = ("leave_one_out", "temporal")


@dataclass
class DatasetArguments:
    """Which data to use, and how to split it.

    Args:
        dataset: folder or Hub id in the package's layout, or ``demo`` for the bundled synthetic shop. Required.
        k_core: keep users and items with at least this many interactions; 0: all.
        protocol: how interactions are held out: ``leave_one_out`` or ``temporal``.
        cold_items: share of the items that are held out, too: their interactions are removed from training, validation
            and all histories, and test cases with such a target are the cold ones; 0: none.
        cold_seed: seed of the choice of these items; several: all items that one of these choices holds.
        cpu_threads: threads of a run on the CPU; default: all cores, shared among the machine's processes.
    """

    dataset: str = field(metadata={"help": "folder or Hub id, or `demo` for the bundled synthetic shop"})
    k_core: int = field(default=0, metadata={"help": "keep users and items with at least this many interactions"})
    protocol: str = field(default="leave_one_out", metadata={"help": "`leave_one_out` or `temporal`"})
    cold_items: float = field(
        default=0.0, metadata={"help": "share of the items that nobody interacts with until the test (0: none)"}
    )
    cold_seed: list[int] = field(
        default_factory=lambda: [0],
        metadata={"help": "seed of the choice of --cold_items; several: all items that one of these choices holds"},
    )
    cpu_threads: int | None = field(default=None, metadata={"help": "threads of a run on the CPU (default: all cores)"})

    def load(self) -> tuple[RecDataset, RecSplit]:
        """Load the dataset and split it."""
        if self.protocol not in SPLITS:
            raise ValueError(f"--protocol must be one of {SPLITS}, got {self.protocol!r}")
        if not 0 <= self.cold_items < 1:
            raise ValueError(f"--cold_items must be a share from 0 to below 1, got {self.cold_items}")
        if self.dataset == "demo":
            from ..data.demo import make_demo_shop

            dataset = make_demo_shop().dataset
            dataset = dataset.k_core(self.k_core) if self.k_core else dataset
        else:
            dataset = RecDataset.load(self.dataset, k_core=self.k_core)
        for note, count in dataset.notes.items():
            if count:
                logger.info("%s: %s: %d", self.dataset, note.replace("_", " "), count)
        return dataset, self.split_of(dataset)

    def split_of(self, dataset: RecDataset) -> RecSplit:
        """Split a dataset as these options say.

        Args:
            dataset: the dataset, as `load` returns it.
        """
        return dataset.split(self.protocol, cold_items=self.cold_items, cold_seed=self.cold_seed)

    @property
    def split_options(self) -> dict[str, Any]:
        """The options that say what is held out, by name."""
        cold = ColdItems(self.cold_items, tuple(self.cold_seed)).facts if self.cold_items else {}
        return {"protocol": self.protocol, **cold}

    @property
    def facts(self) -> dict[str, Any]:
        """How the data was made, as far as the dataset and its split do not say: recorded with a trained model."""
        return {"k_core": self.k_core}

    def data_facts(self, dataset: RecDataset) -> dict[str, Any]:
        """Facts that identify the data and its split. A model must be evaluated on the same ones.

        Args:
            dataset: the dataset, as `load` returns it.
        """
        return {**data_facts(dataset, self.split_of(dataset)), **self.facts}


@dataclass
class SameDataArguments(DatasetArguments):
    """Which data to use with models, indices or embedding files, which must have been made from the same data.

    The other parameters are those of [`DatasetArguments`].

    Args:
        other_data: use them even if they were made from other data or another split, which may contain held-out
            interactions.
    """

    other_data: bool = field(
        default=False,
        metadata={"help": "use a model, index or embedding file even if it was made from other data or another split"},
    )

    @property
    def facts(self) -> dict[str, Any]:
        """Those of `DatasetArguments`, and whether ``--other_data`` is set."""
        return {**super().facts, **({"other_data": True} if self.other_data else {})}
