"""Opens saved models for evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
from accelerate import PartialState

from ..data.graph import InteractionGraph
from ..data.interactions import RecDataset
from ..data.recommender_folder import load_settings
from ..data.splits import RecSplit
from ..evaluation.evaluator import catalog_mapping
from ..evaluation.predictions import PredictedRankings, is_predictions_file
from ..evaluation.ranker import Ranker
from ..methods.auto import AutoRecommender
from ..methods.fusion.recommender import FusionRecommender
from ..methods.galrec.recommender import GALRecRecommender
from ..methods.popularity.recommender import PopularityRecommender
from .case_options import POPULARITY


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
    memory: bool = True,
) -> Ranker:
    """Open a model for evaluation, on the accelerator if there is one.

    Args:
        model: recommender folder or Hub id; ``popularity``, which is fitted here; or a file of predictions.
        dataset: its items are the catalogue to rank.
        split: its training interactions are those that the ranker may read.
        num_beams: beams of LC-Rec's beam search; default: the model's setting.
        normalize: normalisation of LC-Rec's decoding scores; default: the model's setting.
        max_history: how many of the latest items of a history are read; default: the model's setting.
        batch_size: users ranked at once; default: the model's own.
        neighbors: let GAL-Rec read neighbours from the split's training interactions.
        memory: let LC-Rec add its memory to its scores.

    Raises:
        ValueError: an option that the model does not have.
    """
    if model == POPULARITY:
        return PopularityRecommender.fit(dataset, split)
    if is_predictions_file(model):
        return PredictedRankings.from_file(model, dataset)
    method = load_settings(model)["method"]
    overrides: dict[str, Any] = {"batch_size": batch_size, "max_history": max_history}
    if method in ("lcrec", "fusion"):
        overrides["memory"] = memory
    if method == "lcrec":
        overrides |= {"num_beams": num_beams, "normalize": normalize, "max_history": None}
        if max_history is not None:
            overrides["prompt"] = {"max_history": max_history}
    elif num_beams is not None or normalize is not None:
        name = "normalize" if num_beams is None else "num_beams"
        raise ValueError(f"--{name} is an option of LC-Rec; {model} is a recommender of {method!r}")
    if method == "fusion" and max_history is not None:
        raise ValueError(f"--max_history: {model} is a fusion, whose parts have settings of their own")
    ranker = AutoRecommender.from_pretrained(model, device=PartialState().device, **overrides)
    for part in ranker.parts.values() if isinstance(ranker, FusionRecommender) else [ranker]:
        if isinstance(part, GALRecRecommender):
            part.detach_graph()
            if neighbors:
                attach_training_graph(part, dataset, split)
    return ranker


def attach_training_graph(ranker: GALRecRecommender, dataset: RecDataset, split: RecSplit) -> None:
    """Let a GAL-Rec read neighbours from the split's training interactions.

    Args:
        ranker: the recommender; item rows are converted to its own order of items.
        dataset: gives the users' ids and the order of items in ``split``.
        split: gives the interactions.
    """
    graph = InteractionGraph.from_split(split, dataset.num_items)
    to_dataset = catalog_mapping(ranker.item_ids, dataset.item_ids)
    if to_dataset is not None:
        users = np.repeat(np.arange(graph.num_users), graph.user_items.degrees)
        items = np.argsort(to_dataset)[graph.user_items.indices]
        graph = InteractionGraph.from_arrays(users, items, graph.num_users, graph.num_items)
    ranker.attach_graph(graph, dataset.user_ids)
