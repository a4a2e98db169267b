"""Opening saved models for evaluation, and refusing those that have seen the answers."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import PartialState

from ..data.interactions import RecDataset
from ..data.recommender_folder import load_settings
from ..data.splits import RecSplit
from ..evaluation.ranker import Ranker
from ..rankers.auto import load_ranker
from ..rankers.classical import PopularityRanker
from .options import DatasetArguments

POPULARITY = "popularity"


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
) -> Ranker:
    """The ranker of a recommender folder or Hub id, or ``popularity`` fitted here; on the GPU if there is one.

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
    return load_ranker(model, device=device, **overrides)
