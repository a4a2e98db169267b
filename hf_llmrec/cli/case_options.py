"""Which users are ranked, and whether a model may be asked for them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..data.fingerprints import DataFingerprint
from ..data.interactions import RecDataset
from ..data.recommender_folder import load_settings
from ..data.same_data import check_same_data
from ..data.splits import EvalCases, RecSplit
from ..evaluation.predictions import is_predictions_file
from .options import SameDataArguments

logger = logging.getLogger("hf_llmrec")
POPULARITY = "popularity"


@dataclass
class CaseArguments(SameDataArguments):
    """Which users are ranked.

    Args:
        split: ``test`` or ``validation``.
        mask_seen: never recommend an item of the user's history.
        users: a fixed random sample of so many users (0: all).
        neighbors: let GAL-Rec read the neighbours that the training interactions give; otherwise it reads histories.
    """

    split: str = field(default="test", metadata={"help": "`test` or `validation`"})
    mask_seen: bool = field(default=False, metadata={"help": "never recommend an item of the history"})
    users: int = field(default=0, metadata={"help": "rank a fixed random sample of so many users (0: all)"})
    neighbors: bool = field(default=True, metadata={"help": "GAL-Rec reads neighbours in the training interactions"})

    def __post_init__(self):
        if self.split not in ("test", "validation"):
            raise ValueError(f"--split must be test or validation, got {self.split!r}")
        if self.users < 0:
            raise ValueError(f"--users must not be negative, got {self.users}")

    def load_cases(self, models: Sequence[str]) -> tuple[RecDataset, RecSplit, EvalCases]:
        """Dataset, split and the cases to rank, after a check that ``models`` may be asked for them."""
        dataset, split = self.load()
        for model in models:
            if model != POPULARITY and not is_predictions_file(model):
                check_training_data(model, self, dataset, split)
        cases = split.require_cases(self.split)
        return dataset, split, cases.sample(self.users, seed=0) if self.users else cases


def check_training_data(
    model: str, arguments: SameDataArguments, dataset: RecDataset, split: RecSplit, **hub_kwargs: Any
) -> None:
    """Refuse a model that may have been trained on what it is asked for, unless ``--other_data`` is set.

    Args:
        model: recommender folder or Hub id. arguments: how ``dataset`` and its ``split`` were made.
        hub_kwargs: ``revision`` and others of `load_settings`.

    Raises:
        ValueError: says in what its training data differ.
    """
    trained = load_settings(model, **hub_kwargs).get("data", {})
    if trained.get("other_data"):
        logger.warning(
            "%s was itself trained with --other_data True: its training may have contained what is held out", model
        )
    here = arguments.data_facts(dataset)
    different = [
        f"{name} {trained[name]}, this is {here[name]}"
        for name in ("protocol", "k_core", "num_interactions")
        if name in trained and trained[name] != here[name]
    ]
    details = f" ({'; '.join(different)})" if different else ""
    check = {"other_data": arguments.other_data, "by_row": False, "made": "was trained on", "details": details}
    if "fingerprint" in trained:
        check_same_data(model, DataFingerprint.from_dict(trained["fingerprint"], model), dataset, split, **check)
    elif "dataset_fingerprint" in trained:  # of version 0.1, which compared these facts, too
        check_same_data(model, trained["dataset_fingerprint"], dataset, split, **check)
        if different and not arguments.other_data:
            raise ValueError(
                f"{model} was trained with {'; '.join(different)}: what is held out here may have been in its training "
                "(--other_data True goes on all the same)"
            )


def check_base(
    base: str | None, arguments: SameDataArguments, dataset: RecDataset, split: RecSplit, **hub_kwargs
) -> None:
    """`check_training_data` of a model that training starts from, if it is a saved recommender.

    Args:
        base: ``--model_name_or_path``; ``None``: training starts from scratch.
    """
    if not base:
        return
    # No file: it is no recommender. Where only the look-up failed, that of the weights will, too.
    with contextlib.suppress(FileNotFoundError):
        check_training_data(base, arguments, dataset, split, **hub_kwargs)
