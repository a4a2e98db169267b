"""What the training of a language model does once its trainer can be made: train, push, save, report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trl import ModelConfig

from ..data.interactions import RecDataset
from ..recommender import Recommender
from ..training.language_model_config import LanguageModelTrainingConfig
from ..training.language_model_trainer import LanguageModelTrainer
from ..training.pushes import TrainingPushes
from .backbones import BackboneArguments
from .results import changed_options, describe_run
from .saving import finish_run


def train_and_save(
    recommender: Recommender,
    arguments: BackboneArguments,
    training: LanguageModelTrainingConfig,
    model_config: ModelConfig,
    make_trainer: Callable[[TrainingPushes], LanguageModelTrainer],
    *,
    dataset: RecDataset,
    defaults: BackboneArguments,
    began: float,
    report: Callable[[LanguageModelTrainer], dict[str, Any]] = lambda trainer: {},
) -> dict[str, float]:
    """Train, or go on training, and leave a recommender folder; returns the validation metrics of the saved model.

    Args:
        recommender: what is trained.
        make_trainer: gets the callback that pushes.
        dataset: what it is trained on.
        defaults: arguments that nobody changed, with which these are compared.
        began: `time.perf_counter` at the start.
        report: what else ``training_report.json`` says.
    """
    dtype = arguments.saved_dtype(model_config, training)
    pushes = TrainingPushes(training, lambda folder: trainer.save_recommender(folder, dtype))
    trainer = make_trainer(pushes)
    recommender.training_data |= arguments.facts
    options = {**changed_options(arguments, defaults), **changed_options(model_config, ModelConfig())}
    describe_run(training, recommender.method, dataset, recommender.training_data, options, trainer.model)
    prompt = recommender.settings()["prompt"]
    training.describe(prompt=prompt)
    result = trainer.train(resume_from_checkpoint=pushes.checkpoint() if arguments.resume else None)
    metrics = trainer.rank()
    trainer.save_recommender(training.output_dir, dtype)
    # Only now: a second set of training arguments sets up the devices anew.
    config = {**options, **changed_options(training, type(training)(output_dir=training.output_dir))}
    config["prompt"] = prompt
    full_report = {"train": result.metrics, "config": config, **report(trainer), "log": trainer.state.log_history}
    finish_run(training, pushes, metrics, began, full_report)
    return metrics
