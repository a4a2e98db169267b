"""Trains, pushes, saves and reports, for commands that train a language model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from trl import ModelConfig, get_peft_config  # pyright: ignore[reportPrivateImportUsage]  # trl exports it lazily

from ..data.interactions import RecDataset
from ..recommender import Recommender
from ..training.language_model_config import LanguageModelTrainingConfig
from ..training.language_model_trainer import LanguageModelTrainer
from ..training.pushes import TrainingPushes
from .backbones import BackboneArguments
from .results import changed_options, describe_run
from .saving import finish_run

if TYPE_CHECKING:
    from peft import LoraConfig
    from torch import nn

TrainerT = TypeVar("TrainerT", bound=LanguageModelTrainer)


def lora_config(model_config: ModelConfig) -> LoraConfig | None:
    """The adapters that ``--use_peft`` asks for; ``None``: the model's own weights are trained."""
    # trl declares their base class, but makes no others.
    return cast("LoraConfig | None", get_peft_config(model_config))


def train_and_save(
    recommender: Recommender,
    arguments: BackboneArguments,
    training: LanguageModelTrainingConfig,
    model_config: ModelConfig,
    make_trainer: Callable[[TrainingPushes], TrainerT],
    *,
    dataset: RecDataset,
    began: float,
    report: Callable[[TrainerT], dict[str, Any]] = lambda trainer: {},
) -> dict[str, float]:
    """Train a recommender, or resume its training, and save it to the output folder.

    Args:
        recommender: the recommender to train.
        arguments: the command's options.
        training: the trainer's options.
        model_config: options of the pretrained model and its adapters.
        make_trainer: makes the trainer, with the callback that pushes to the Hub.
        dataset: what to train on.
        began: `time.perf_counter` at the start of the command.
        report: makes further entries of ``training_report.json`` from the trainer; default: none.

    Returns:
        the validation metrics of the saved model.
    """
    dtype = arguments.saved_dtype(model_config, training)
    pushes = TrainingPushes(training, lambda folder: trainer.save_recommender(folder, dtype))
    trainer = make_trainer(pushes)
    recommender.training_data |= arguments.facts
    options = {**arguments.changed, **changed_options(model_config, ModelConfig())}
    model = cast("nn.Module", trainer.model)  # transformers declares that it may be None, which it is not here
    describe_run(training, recommender.method, dataset, recommender.training_data, options, model)
    prompt = recommender.settings()["prompt"]
    training.describe(prompt=prompt)
    result = trainer.train(resume_from_checkpoint=pushes.checkpoint() if arguments.resume else None)
    metrics = trainer.rank()
    trainer.save_recommender(training.output_dir, dtype)
    # Made only now: creating training arguments again resets the devices.
    config = {**options, **changed_options(training, type(training)(output_dir=training.output_dir))}
    config["prompt"] = prompt
    full_report = {"train": result.metrics, "config": config, **report(trainer), "log": trainer.state.log_history}
    finish_run(training, pushes, metrics, began, full_report)
    return metrics
