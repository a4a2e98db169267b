"""``train fusion``: combine saved recommenders into a weighted ensemble, with weights tuned on validation users."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import cast

import torch
from transformers import set_seed

from ..data.interactions import RecDataset
from ..data.splits import EvalCases, RecSplit
from ..methods.fusion.fit import FusionWeights
from ..methods.fusion.modeling_fusion import FusionModel
from ..methods.fusion.recommender import FusionRecommender
from ..recommender import Recommender
from ..training.pushes import TrainingPushes
from ..training.row_config import RowTrainingConfig
from ..training.validation import validation_cases
from .cold_parts import open_cold_parts
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
        the fusion, and its weights in words.
    """
    folders = dict(zip(arguments.names, arguments.parts, strict=True))
    # A folder's ranker is a recommender: `check_training_data` has read its settings.
    parts = {name: cast(Recommender, open_ranker(folder, dataset, split)) for name, folder in folders.items()}
    on_hub = {name: folder for name, folder in folders.items() if not Path(folder).exists()}
    options = {"num_candidates": arguments.num_candidates, "references": on_hub if arguments.by_reference else {}}
    if arguments.weights:
        fusion = FusionRecommender.of_weights(parts, FusionWeights.constant(arguments.weights), **options)
        fusion.trained_on(dataset, split)
    else:
        options |= {"by_history": arguments.by_history, **open_cold_parts(arguments, dataset)}
        fusion = FusionRecommender.fit(parts, dataset, split, cases, **options)
    return fusion, _in_words(fusion)


def _in_words(fusion: FusionRecommender) -> list[str]:
    """The weights, and how they change with the length of the history and for cold items."""
    model = cast(FusionModel, fusion.model)

    def named(weights: torch.Tensor) -> str:
        return ", ".join(f"{name} {weight:.3g}" for name, weight in zip(fusion.parts, weights.tolist(), strict=True))

    lines = [f"weights: {named(model.weights)}"]
    if model.length_weights.any():
        typical = math.expm1(model.config.mean_log_length)
        lines.append(
            f"with a history e times as long as {typical:.1f} items, they change by: {named(model.length_weights)}"
        )
    if fusion.is_cold is not None:
        count = int(fusion.is_cold.sum())
        lines.append(f"weights for {count} items without training interactions: {named(model.cold_weights)}")
    return lines


def run(arguments: FusionArguments, training: RowTrainingConfig) -> dict[str, float]:
    """Fuse, save the recommender folder and its report; returns the validation metrics."""
    began = time.perf_counter()
    set_seed(training.seed)
    dataset, split = arguments.load()
    cases = validation_cases(split, training.eval_users)
    pushes = TrainingPushes(training, lambda folder: fusion.save_pretrained(folder))
    for part in arguments.parts:
        if Path(training.output_dir).resolve() in Path(part).resolve().parents:
            raise ValueError(f"--parts {part} lies in --output_dir, where parts are copied to: choose another one")
        check_training_data(part, arguments, dataset, split)
    fusion, lines = fuse(arguments, dataset, split, cases)
    for line in lines:
        logger.info(line)
    metrics = fusion.evaluate(cases).metrics
    fusion.training_data |= arguments.facts
    fusion.save_pretrained(training.output_dir, is_main_process=training.should_save)
    defaults = RowTrainingConfig(output_dir=training.output_dir)
    config = {**arguments.changed, **changed_options(training, defaults), "model": "fusion"}
    finish_run(training, pushes, metrics, began, {"config": config, "chosen": lines})
    return metrics


def main(argv: list[str] | None = None) -> int:
    return run_command((FusionArguments, RowTrainingConfig), run, argv)
