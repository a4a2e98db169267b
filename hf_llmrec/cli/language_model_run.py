"""What the training of a language model does once its trainer can be made: train, push, save, report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase
from trl import ModelConfig

from ..data.interactions import RecDataset
from ..data.recommender_folder import ItemCatalog
from ..data.recommender_saving import save_recommender
from ..training.language_model_config import LanguageModelTrainingConfig
from ..training.language_model_trainer import LanguageModelTrainer
from .backbones import BackboneArguments
from .results import changed_options, describe_run
from .saving import finish_run
from .training_pushes import TrainingPushes


def train_and_save(
    method: str,
    arguments: BackboneArguments,
    training: LanguageModelTrainingConfig,
    model_config: ModelConfig,
    make_trainer: Callable[[TrainingPushes], LanguageModelTrainer],
    *,
    dataset: RecDataset,
    tokenizer: PreTrainedTokenizerBase,
    settings: dict[str, Any],
    defaults: BackboneArguments,
    began: float,
    save_beside: Callable[[Path], None] = lambda folder: None,
    report: dict[str, Any] | None = None,
) -> dict[str, float]:
    """Train, or go on training, and leave a recommender folder; returns the validation metrics of the saved model.

    Args:
        method: as `save_recommender` knows it.
        make_trainer: gets the callback that pushes.
        settings: how the model recommends; what it learned from is added.
        defaults: arguments that nobody changed, with which these are compared.
        began: `time.perf_counter` at the start.
        save_beside: writes what else belongs to the model, on the process that writes.
        report: what else ``training_report.json`` says.
    """
    catalog, settings = ItemCatalog.of_dataset(dataset), {**settings, "data": arguments.data_facts(dataset)}
    dtype = arguments.saved_dtype(model_config, training)

    def save_model(folder: Path) -> None:
        trainer.save_whole_model(str(folder), dtype)
        if training.should_save:
            tokenizer.save_pretrained(folder)
            save_beside(folder)

    def save(folder: Path) -> None:
        about = {"dataset": dataset.name, **settings}
        save_recommender(folder, method, catalog, about, save_model, is_writer=training.should_save)

    pushes = TrainingPushes(training, save)
    trainer = make_trainer(pushes)
    options = {**changed_options(arguments, defaults), **changed_options(model_config, ModelConfig())}
    describe_run(training, method, dataset, settings["data"], options, trainer.model)
    result = trainer.train(resume_from_checkpoint=pushes.checkpoint() if arguments.resume else None)
    metrics = trainer.rank()
    save(Path(training.output_dir))
    # Only now: a second set of training arguments sets up the devices anew.
    config = {**options, **changed_options(training, type(training)(output_dir=training.output_dir))}
    full_report = {"train": result.metrics, "config": config, **(report or {}), "log": trainer.state.log_history}
    finish_run(training, pushes, metrics, began, full_report)
    return metrics
