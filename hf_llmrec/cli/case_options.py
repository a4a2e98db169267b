"""Options of the commands that rank users: `evaluate` and `compare`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..data.interactions import RecDataset
from ..data.splits import TARGETS, EvalCases, RecSplit
from ..evaluation.metrics import check_cutoffs
from ..evaluation.predictions import is_predictions_file
from ..evaluation.ranker import Ranker, RequestRanker
from .data_checks import check_training_data
from .options import SameDataArguments

logger = logging.getLogger("hf_llmrec")
POPULARITY = "popularity"


@dataclass
class CaseArguments(SameDataArguments):
    """Which users to rank, and how. The other parameters are those of [`SameDataArguments`].

    Args:
        split: the held-out interactions to predict, ``test`` or ``validation``.
        targets: which items count as relevant. ``first``: the first item after the history; ``all``, with the temporal
            protocol: every item of the period.
        ks: further cut-offs for HR, NDCG, MRR and MAP (and recall, with all targets).
        mask_seen: never recommend an item of the user's history.
        users: rank a fixed random sample of this many users; 0: all.
        neighbors: let GAL-Rec read neighbours from the training interactions; without, it reads histories only.
        memory: let LC-Rec add its memory of co-occurrences; without, it ranks by codes alone.
        request_times: let models with time features know when each request is made; `compare` ranks them both ways.
    """

    split: str = field(default="test", metadata={"help": "`test` or `validation`"})
    targets: str = field(
        default="first",
        metadata={"help": "`first`: the next item is relevant; `all`: every item of the period (--protocol temporal)"},
    )
    ks: list[int] = field(
        default_factory=list, metadata={"help": "further cut-offs for HR, NDCG, MRR and MAP: --ks 20 50 100"}
    )
    mask_seen: bool = field(default=False, metadata={"help": "never recommend an item of the user's history"})
    users: int = field(default=0, metadata={"help": "rank a fixed random sample of this many users (0: all)"})
    neighbors: bool = field(
        default=True, metadata={"help": "let GAL-Rec read neighbours from the training interactions"}
    )
    memory: bool = field(default=True, metadata={"help": "let LC-Rec add its memory of co-occurrences to its scores"})
    request_times: bool = field(
        default=False, metadata={"help": "let models with time features know when each request is made"}
    )

    def __post_init__(self):
        if self.split not in ("test", "validation"):
            raise ValueError(f"--split must be test or validation, got {self.split!r}")
        if self.targets not in TARGETS:
            raise ValueError(f"--targets must be first or all, got {self.targets!r}")
        if self.targets == "all" and self.protocol != "temporal":
            raise ValueError("--targets all needs --protocol temporal: others hold out one interaction per user")
        check_cutoffs(self.ks)
        if self.users < 0:
            raise ValueError(f"--users must not be negative, got {self.users}")

    def load_cases(self, models: Sequence[str]) -> tuple[RecDataset, RecSplit, EvalCases]:
        """Load the dataset, its split and the cases to rank, and check that the models may be evaluated on them.

        Args:
            models: recommender folders, Hub ids, ``popularity`` or files of predictions; see `check_training_data`.
        """
        dataset, split = self.load()
        for model in models:
            if model != POPULARITY and not is_predictions_file(model):
                check_training_data(model, self, dataset, split)
        cases = split.require_cases(self.split)
        if self.request_times and cases.request_times is None:
            raise ValueError(f"--request_times True: {self.dataset} has no timestamp column in its interactions")
        return dataset, split, cases.sample(self.users, seed=0) if self.users else cases

    @property
    def case_facts(self) -> dict[str, Any]:
        """Who was ranked, how, and what counts as a hit, for reports; some only if changed."""
        facts = {"split": self.split, **self.split_options, "mask_seen": self.mask_seen}
        facts |= {} if self.targets == "first" else {"targets": self.targets}
        return facts if self.memory else {**facts, "memory": False}

    @property
    def metric_options(self) -> dict[str, Any]:
        """Keyword arguments for `evaluate_ranker`."""
        return {"ks": self.ks, "targets": self.targets, "mask_seen": self.mask_seen}

    def uses_times(self, ranker: Ranker, model: str) -> bool:
        """Whether the times of requests are to be known and change the rankings of a model.

        Args:
            ranker: the model.
            model: its name, for a warning if it has no time features.
        """
        uses_times = isinstance(ranker, RequestRanker) and ranker.uses_times
        if self.request_times and not uses_times:
            logger.warning("%s has no time features: the times of requests change nothing", model)
        return self.request_times and uses_times
