"""Fits the baselines that need no gradient descent: popularity and nearest neighbours."""

from __future__ import annotations

import logging
from typing import Any

from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..methods.item_knn.configuration_item_knn import ItemKNNConfig
from ..methods.item_knn.recommender import GRID, ItemKNNRecommender
from ..methods.popularity.recommender import PopularityRecommender
from ..training.pushes import TrainingPushes
from ..training.row_config import RowTrainingConfig
from ..training.validation import validation_cases
from .baseline_options import BaselineArguments
from .row_run import SavedModel

logger = logging.getLogger("hf_llmrec")


def fit(arguments: BaselineArguments, training: RowTrainingConfig, dataset: RecDataset, split: RecSplit) -> SavedModel:
    """Fit popularity or nearest neighbours, and save the recommender.

    Args:
        arguments: say which baseline.
        training: says where to save, and on how many validation users to evaluate.
        dataset: what to fit.
        split: its training interactions are counted.

    Raises:
        ValueError: ``--model_options`` has a field that the baseline does not have, or a value that it refuses.
    """
    report: dict[str, Any] = {}
    cases = validation_cases(split, training.eval_users)
    if arguments.model == "popularity":
        if arguments.model_options:
            raise ValueError(f"--model_options: popularity has no options, got {sorted(arguments.model_options)}")
        recommender = PopularityRecommender.fit(dataset, split)
        metrics = recommender.evaluate(cases).metrics
    else:
        unknown = sorted(set(arguments.model_options) - {"num_neighbors", *GRID})
        if unknown:
            raise ValueError(f"--model_options: knn has no {unknown}")
        arguments.fields(ItemKNNConfig)  # checks the values before anything is counted
        recommender, tried = ItemKNNRecommender.search(dataset, split, cases, **arguments.model_options)
        best = max(tried, key=lambda each: each["ndcg@10"])
        chosen = {name: best[name] for name in ("shrinkage", "decay")}
        metrics = {name: value for name, value in best.items() if name not in chosen}
        logger.info("shrinkage %g, decay %g: best of %d on validation users", *chosen.values(), len(tried))
        report |= {"tried": tried, "chosen": chosen}
    recommender.training_data |= arguments.facts
    recommender.save_pretrained(training.output_dir, is_main_process=training.should_save)
    return SavedModel(metrics, TrainingPushes(training, recommender.save_pretrained), report)
