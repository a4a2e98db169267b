"""What `train lcrec` and `train galrec` share: from their options to the saved and pushed recommender."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, cast

from peft import LoraConfig
from torch import nn
from transformers import set_seed
from trl import ModelConfig, get_peft_config  # pyright: ignore[reportPrivateImportUsage]  # trl exports it lazily

from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..training.language_model_config import LanguageModelTrainingConfig
from ..training.language_model_trainer import LanguageModelTrainer
from ..training.liger import add_liger_kernels
from ..training.pushes import TrainingPushes
from .backbones import BackboneArguments
from .results import changed_options, describe_run
from .saving import finish_run

ArgumentsT = TypeVar("ArgumentsT", bound=BackboneArguments)
TrainingT = TypeVar("TrainingT", bound=LanguageModelTrainingConfig)


@dataclass
class LanguageModelRun(ABC, Generic[ArgumentsT, TrainingT]):
    """One run of a command that trains a language model.

    Args:
        arguments: the command's options.
        training: the trainer's options.
        model_config: options of the pretrained model and its adapters.

    Attributes:
        trainer_class: trainer of the method.
    """

    trainer_class: ClassVar[type[LanguageModelTrainer]]

    arguments: ArgumentsT
    training: TrainingT
    model_config: ModelConfig

    @abstractmethod
    def recommender(self, dataset: RecDataset, split: RecSplit) -> Any:
        """The recommender to train, new or a saved one.

        Args:
            dataset: what to train on.
            split: what is held out.
        """

    @abstractmethod
    def complete_adapters(self, adapters: LoraConfig, recommender: Any) -> LoraConfig:
        """Add to ``--use_peft``'s options what the method trains beside the adapters.

        Args:
            adapters: the options; may be changed in place.
            recommender: the one to train.
        """

    def run(self) -> dict[str, float]:
        """Train a recommender, or resume its training, and save it to the output folder.

        Returns:
            the validation metrics of the saved model; with ``--dry_run`` the plan's figures.
        """
        arguments, training, began = self.arguments, self.training, time.perf_counter()
        set_seed(training.seed)  # before weights are initialised: the trainer sets the seed only later
        dataset, split = arguments.load()
        split.require_cases("validation")  # which choose the best checkpoint
        recommender = self.recommender(dataset, split)
        rows = self.trainer_class.build_train_dataset(recommender, split, training)
        adapters = cast(LoraConfig | None, get_peft_config(self.model_config))  # trl declares their base class
        if adapters is not None:
            adapters = self.complete_adapters(adapters, recommender)
        taken = arguments.start_defaults(recommender.prompt, training)
        options = {"peft_config": adapters, "assume": arguments.assume, "taken": taken}
        plan = self.trainer_class.plan(recommender, training, rows, **options)
        if arguments.dry_run:
            return plan
        if arguments.liger_kernels:
            add_liger_kernels(recommender.language_model)
        return self._train(recommender, dataset, began, split=split, train_dataset=rows, peft_config=adapters)

    def _train(self, recommender: Any, dataset: RecDataset, began: float, **parts: Any) -> dict[str, float]:
        """Train and save; ``parts`` are parameters of the trainer, ``began`` is the time when the command began."""
        arguments, training = self.arguments, self.training
        dtype = arguments.saved_dtype(self.model_config, training)
        pushes = TrainingPushes(training, lambda folder: trainer.save_recommender(folder, dtype))
        trainer = self.trainer_class(recommender, training, callbacks=[pushes], **parts)
        recommender.training_data |= arguments.facts
        options = {**arguments.changed, **changed_options(self.model_config, ModelConfig())}
        model = cast(nn.Module, trainer.model)  # transformers declares that it may be None, which it is not here
        describe_run(training, recommender.method, dataset, recommender.training_data, options, model)
        stored = {"prompt": recommender.settings()["prompt"]}
        training.describe(**stored)
        result = trainer.train(resume_from_checkpoint=pushes.checkpoint() if arguments.resume else None)
        metrics = trainer.rank()
        trainer.save_recommender(training.output_dir, dtype)
        # Made only now: creating training arguments again resets the devices.
        config = {**options, **changed_options(training, type(training)(output_dir=training.output_dir)), **stored}
        report = {"train": result.metrics, "config": config, **trainer.report(), "log": trainer.state.log_history}
        finish_run(training, pushes, metrics, began, report)
        return metrics
