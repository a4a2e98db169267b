"""``train fusion``: let saved recommenders rank together, with weights that are best on validation users."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
from transformers import set_seed

from ..data.interactions import RecDataset
from ..data.splits import EvalCases, RecSplit
from ..methods.fusion.fit import FusionWeights
from ..methods.fusion.recommender import FusionRecommender
from ..training.pushes import TrainingPushes
from ..training.row_config import RowTrainingConfig
from ..training.row_trainer import validation_cases
from .data_checks import check_training_data
from .fusion_options import FusionArguments
from .models import open_ranker
from .processes import run_command
from .results import changed_options
from .saving import finish_run

logger = logging.getLogger("hf_llmrec")


def fuse(
    arguments: FusionArguments, dataset: RecDataset, split: RecSplit, cases: EvalCases
) -> tuple[FusionRecommender, list[str]]:
    """Open the parts, and choose their weights unless they are given.

    Args:
        arguments: the command's options.
        dataset: what the parts were trained on.
        split: how it was split.
        cases: validation users.

    Returns:
        the fusion, and for each group of users its weights in words.
    """
    parts = {
        name: open_ranker(part, dataset, split) for name, part in zip(arguments.names, arguments.parts, strict=True)
    }
    on_hub = {
        name: part for name, part in zip(arguments.names, arguments.parts, strict=True) if not Path(part).exists()
    }
    options = {"num_candidates": arguments.num_candidates, "references": on_hub if arguments.by_reference else {}}
    if arguments.weights:
        chosen = FusionWeights(np.array([arguments.weights]), arguments.normalize or "zscore", None, float("nan"))
        fusion = FusionRecommender.of_weights(parts, chosen, **options)
        fusion.trained_on(dataset, split)
    else:
        options |= {"normalize": arguments.normalize, "by_history": arguments.by_history}
        fusion = FusionRecommender.fit(parts, dataset, split, cases, **options)
    lines = []
    for number, weights in enumerate(fusion.model.weights.tolist()):
        numbers = ", ".join(f"{name} {weight:g}" for name, weight in zip(parts, weights, strict=True))
        of_whom = (
            "" if fusion.long_history is None else f" ({'from' if number else 'below'} {fusion.long_history} items)"
        )
        lines.append(f"weights{of_whom}: {numbers}; scores {fusion.normalize}")
    return fusion, lines


def run(arguments: FusionArguments, training: RowTrainingConfig) -> dict[str, float]:
    """Fuse, save the recommender folder and its report; returns the validation metrics."""
    began = time.perf_counter()
    set_seed(training.seed)
    dataset, split = arguments.load()
    cases = validation_cases(split, training.eval_users)
    for part in arguments.parts:
        check_training_data(part, arguments, dataset, split)
    fusion, lines = fuse(arguments, dataset, split, cases)
    for line in lines:
        logger.info(line)
    metrics = fusion.evaluate(cases).metrics
    fusion.training_data |= arguments.facts
    fusion.save_pretrained(training.output_dir, is_main_process=training.should_save)
    defaults = RowTrainingConfig(output_dir=training.output_dir)
    config = {**arguments.changed, **changed_options(training, defaults), "model": "fusion"}
    finish_run(
        training, TrainingPushes(training, fusion.save_pretrained), metrics, began, {"config": config, "chosen": lines}
    )
    return metrics


def main(argv: list[str] | None = None) -> int:
    return run_command((FusionArguments, RowTrainingConfig), run, argv)
