"""Opening saved models for evaluation, and refusing those that have seen the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate import PartialState

from ..data.graph import InteractionGraph
from ..data.interactions import RecDataset
from ..data.recommender_folder import load_settings
from ..data.splits import EvalCases, RecSplit
from ..evaluation.evaluator import catalog_mapping
from ..evaluation.ranker import Ranker
from ..rankers.auto import load_ranker
from ..rankers.classical import PopularityRanker
from ..rankers.galrec import GALRecRanker
from .options import DatasetArguments

POPULARITY = "popularity"


@dataclass
class CaseArguments(DatasetArguments):
    """Which users are ranked.

    Args:
        split: ``test`` or ``validation``.
        mask_seen: never recommend an item of the user's history.
        users: a fixed random sample of so many users (0: all).
        neighbors: let GAL-Rec read the neighbours that the training interactions give; otherwise it reads histories.
        other_data: go on although a model was trained on other data or another split, which may contain what is asked
            for here.
    """

    split: str = field(default="test", metadata={"help": "`test` or `validation`"})
    mask_seen: bool = field(default=False, metadata={"help": "never recommend an item of the history"})
    users: int = field(default=0, metadata={"help": "rank a fixed random sample of so many users (0: all)"})
    neighbors: bool = field(default=True, metadata={"help": "GAL-Rec reads neighbours in the training interactions"})
    other_data: bool = field(
        default=False, metadata={"help": "go on although a model was trained on other data or another split"}
    )

    def __post_init__(self):
        if self.split not in ("test", "validation"):
            raise ValueError(f"--split must be test or validation, got {self.split!r}")
        if self.users < 0:
            raise ValueError(f"--users must not be negative, got {self.users}")

    def load_cases(self, models: Sequence[str]) -> tuple[RecDataset, RecSplit, EvalCases]:
        """Dataset, split and the cases to rank, after a check that ``models`` may be asked for them."""
        dataset, split = self.load()
        if not self.other_data:
            for model in models:
                check_training_data(model, self, dataset)
        cases = split.require_cases(self.split)
        return dataset, split, cases.sample(self.users, seed=0) if self.users else cases


def check_training_data(model: str, arguments: DatasetArguments, dataset: RecDataset) -> None:
    """Refuse a model that may have been trained on what it is asked for.

    Raises:
        ValueError: says in what its training data differ.
    """
    if model == POPULARITY:
        return
    trained = load_settings(model).get("data", {})
    here = arguments.data_facts(dataset)
    for name, value in trained.items():
        if here.get(name) != value:
            raise ValueError(
                f"{model} was trained with {name} {value}, this is {here.get(name)}: what is held out here may have "
                "been in its training (--other_data True evaluates all the same)"
            )


def open_ranker(
    model: str,
    dataset: RecDataset,
    split: RecSplit,
    *,
    num_beams: int | None = None,
    normalize: str | None = None,
    max_history: int | None = None,
    batch_size: int | None = None,
    neighbors: bool = True,
) -> Ranker:
    """The ranker of a recommender folder or Hub id, or ``popularity`` fitted here; on the GPU if there is one.

    Args:
        neighbors: let GAL-Rec read the neighbours that the split's training interactions give.

    Raises:
        ValueError: an option that the model does not have.
    """
    if model == POPULARITY:
        return PopularityRanker.fit(dataset, split)
    overrides: dict[str, Any] = {"batch_size": batch_size}
    if load_settings(model)["method"] == "lcrec":
        overrides |= {"num_beams": num_beams, "normalize": normalize}
        if max_history is not None:
            overrides["prompt"] = {"max_history": max_history}
    else:
        overrides["max_history"] = max_history
        for name, value in {"num_beams": num_beams, "normalize": normalize}.items():
            if value is not None:
                raise ValueError(f"--{name} is an option of LC-Rec; {model} generates nothing")
    device = PartialState().device if torch.cuda.is_available() else None
    ranker = load_ranker(model, device=device, **overrides)
    if isinstance(ranker, GALRecRanker):
        ranker.detach_graph()
        if neighbors:
            attach_training_graph(ranker, dataset, split)
    return ranker


def attach_training_graph(ranker: GALRecRanker, dataset: RecDataset, split: RecSplit) -> None:
    """Let the model read the neighbours that the split's training interactions give, in its own order of items."""
    graph = InteractionGraph.from_split(split, dataset.num_items)
    to_dataset = catalog_mapping(ranker.item_ids, dataset.item_ids)
    if to_dataset is not None:
        users = np.repeat(np.arange(graph.num_users), graph.user_items.degrees)
        items = np.argsort(to_dataset)[graph.user_items.indices]
        graph = InteractionGraph.from_arrays(users, items, graph.num_users, graph.num_items)
    ranker.attach_graph(graph, dataset.user_ids)
