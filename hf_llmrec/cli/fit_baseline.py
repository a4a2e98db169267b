"""Popularity and nearest neighbours: baselines that are counted, not trained."""

from __future__ import annotations

import logging

from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..methods.item_knn.configuration_item_knn import ItemKNNConfig
from ..methods.item_knn.recommender import GRID, ItemKNNRecommender
from ..methods.popularity.recommender import PopularityRecommender
from ..training.pushes import TrainingPushes
from ..training.row_config import RowTrainingConfig
from ..training.row_trainer import validation_cases
from .baseline_options import BaselineArguments

logger = logging.getLogger("hf_llmrec")


def count(
    arguments: BaselineArguments, training: RowTrainingConfig, dataset: RecDataset, split: RecSplit, report: dict
) -> tuple[dict[str, float], TrainingPushes]:
    """Fit popularity or nearest neighbours, and save; returns the validation metrics, and pushes that push nothing."""
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
        arguments.fields(ItemKNNConfig)  # before anything is counted: whether the values are such
        recommender, tried = ItemKNNRecommender.search(dataset, split, cases, **arguments.model_options)
        best = max(tried, key=lambda each: each["ndcg@10"])
        chosen = {name: best[name] for name in ("shrinkage", "decay")}
        metrics = {name: value for name, value in best.items() if name not in chosen}
        logger.info("shrinkage %g, decay %g: best of %d on validation users", *chosen.values(), len(tried))
        report |= {"tried": tried, "chosen": chosen}
    recommender.training_data |= arguments.facts
    recommender.save_pretrained(training.output_dir, is_main_process=training.should_save)
    return metrics, TrainingPushes(training, recommender.save_pretrained)
