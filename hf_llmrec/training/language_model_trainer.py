"""Common base of the trainers of language models: TRL's SFTTrainer on rows built per epoch, full models saved."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import extract_model_from_parallel
from peft import PeftConfig, PeftModel
from torch import nn
from transformers import PreTrainedModel
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_pt_utils import get_model_param_count
from trl import SFTTrainer  # pyright: ignore[reportPrivateImportUsage]  # exported lazily
from trl.models import unwrap_model_for_generation  # pyright: ignore[reportPrivateImportUsage]  # exported lazily

from ..data.epoch_dataset import EpochDataset
from .budget import fill_budget
from .gathered_model import gathered_copy, is_prepared_by_fsdp2
from .language_model_config import LanguageModelTrainingConfig
from .load_backbone import check_positions
from .merged_copy import merged_copy
from .plan import plan_training
from .row_trainer import RowTrainerMixin
from .saved_dtype import cast_saved_model


def start_from_recommender(args: LanguageModelTrainingConfig, recommender: Any) -> None:
    """Fill the options of a training that follow from its recommender, and set the recommender's ``max_length``.

    Args:
        args: options of the training, changed in place.
        recommender: of a language model; reads at most ``args.max_length`` tokens afterwards.

    Raises:
        ValueError: neither ``args`` nor the recommender's prompt has a ``max_length``.
    """
    args.start_from(pretrained=recommender.is_pretrained)
    if args.max_length is None:
        args.max_length = recommender.prompt.max_length
    if args.max_length is None:
        raise ValueError("max_length must be set: the recommender's prompt has none, and rows are cut to it")
    recommender.set_max_length(args.max_length)


class LanguageModelTrainer(RowTrainerMixin, SFTTrainer):
    """`trl.SFTTrainer` whose rows are built per epoch.

    Args:
        recommender: the recommender whose model is trained, in place; has a ``tokenizer``, a ``prompt`` and
            `set_max_length`.
        args: options of the training.
        kwargs: parameters of [`RowTrainerMixin`] and of `trl.SFTTrainer`, such as ``peft_config``.

    Attributes:
        decoding_fallback: why the last ranking used a slower decoding than the recommender's own; ``None``: it did not.
    """

    args: LanguageModelTrainingConfig
    model: PreTrainedModel | PeftModel
    decoding_fallback: str | None = None

    def __init__(self, recommender: Any, args: LanguageModelTrainingConfig, **kwargs: Any):
        start_from_recommender(args, recommender)
        super().__init__(recommender, args, processing_class=recommender.tokenizer, **kwargs)
        model = self.accelerator.unwrap_model(self.model)
        recommender.model, recommender.adapted = self._recommending(model), model if self._is_peft() else None

    def prepare(self, args, train_dataset, *, has_adapters):
        model = self.recommender.model
        check_positions(model, model.name_or_path or "the model", args.max_length)
        size = get_model_param_count(model)
        fill_budget(
            args,
            train_dataset.lengths(0),
            size,
            has_adapters,
            target_per_item=self.has_target_per_item(self.recommender),
        )
        return model

    @classmethod
    def plan(
        cls,
        recommender: Any,
        args: LanguageModelTrainingConfig,
        train_dataset: EpochDataset,
        *,
        peft_config: PeftConfig | None = None,
        assume: Mapping[str, Any] | None = None,
        taken: Mapping[str, Any] | None = None,
    ) -> dict[str, float]:
        """Set the options of a training that were not given, and log what it takes, before its trainer is made.

        Args:
            recommender: the recommender that will be trained.
            args: options of the training, changed in place.
            train_dataset: training rows, such as `build_train_dataset` gives.
            peft_config: configuration of the adapters; default: the model's own weights are trained.
            assume: properties of another machine than this one, see `plan_training`.
            taken: defaults of the prompt that follow from the start, to be logged with those of ``args``.

        Returns:
            Figures of the plan by name on the first process; empty on the others.
        """
        return plan_training(
            args,
            recommender.model,
            peft_config,
            train_dataset,
            lambda batch: cls.batch_sizes(batch, recommender, args),
            target_per_item=cls.has_target_per_item(recommender),
            momentum=args.has_momentum_copy,
            assume=assume,
            taken=taken,
            warnings=cls.plan_warnings(recommender, peft_config),
        )

    @staticmethod
    def batch_sizes(batch: list[dict], recommender: Any, args: Any) -> tuple[int, int]:
        """Sizes of a batch, from which its memory is estimated.

        Args:
            batch: training rows.
            recommender: the recommender that will be trained.
            args: options of the training.

        Returns:
            The number of tokens that are read with gradient, padding included, and of logits that the loss computes.
        """
        raise NotImplementedError

    @staticmethod
    def plan_warnings(recommender: Any, adapters: PeftConfig | None) -> list[str]:
        """Warnings about a training, each with its remedy.

        Args:
            recommender: the recommender that will be trained.
            adapters: configuration of the adapters; ``None``: the model's own weights are trained.
        """
        return []

    @staticmethod
    def has_target_per_item(recommender: Any) -> bool:
        """Whether long rows have more targets than short ones, see `fill_budget`.

        Args:
            recommender: gives the form of the rows.
        """
        return True

    def report(self) -> dict[str, Any]:
        """What a report of the training says beside its metrics and options."""
        return {}

    def _rank(self, cases):
        metrics = super()._rank(cases)
        self.decoding_fallback = self.recommender.fallback
        return metrics

    def _recommending(self, model: PreTrainedModel | PeftModel) -> PreTrainedModel:
        # PEFT annotates the base model as any module.
        return cast(PreTrainedModel, model.get_base_model()) if isinstance(model, PeftModel) else model

    def _save_weights(self, folder: Path, dtype: torch.dtype | None) -> None:
        self.save_whole_model(str(folder), dtype)

    def _is_peft(self) -> bool:
        return isinstance(self.accelerator.unwrap_model(self.model), PeftModel)

    @contextmanager
    def _gathered_model(self) -> Iterator[nn.Module]:
        # The wrapped model is looked at, not accelerate's settings: before the first step it is not sharded yet.
        if is_prepared_by_fsdp2(self.model_wrapped):
            yield gathered_copy(self.model_wrapped, self.args.device)
            return
        with ExitStack() as stack:
            with warnings.catch_warnings():
                # TRL asks for a property of transformers by its old name, at every evaluation.
                warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)
                # Gathers ZeRO-3's shards.
                model = stack.enter_context(unwrap_model_for_generation(self.model_wrapped, self.accelerator))
            # TRL keeps the wrapper of torch.compile, in which the decoding would not recognise the model.
            yield extract_model_from_parallel(model, keep_torch_compile=False)

    def _log_tokens(self, mode: str, tokens: int) -> None:
        if mode == "train":
            self._total_train_tokens += tokens * self.accelerator.num_processes
        self._metrics[mode]["num_tokens"] = [self._total_train_tokens]

    def save_whole_model(self, folder: str, dtype: torch.dtype | None = None) -> None:
        """Save a checkpoint with gathered weights and merged adapters, and without pickled arguments.

        Must be called on all processes, at any time: the model is not changed.

        Args:
            folder: the folder that is written.
            dtype: precision of the saved weights; default: that of the model.
        """
        if is_prepared_by_fsdp2(self.model_wrapped):
            copy = gathered_copy(self.model_wrapped, "cpu", keep=self.args.should_save)
            if copy is not None:
                copy.save_pretrained(folder)
        elif self._is_peft():
            with self._gathered_model() as model:
                if self.args.should_save:
                    merged_copy(cast(PeftModel, model)).save_pretrained(folder)
        else:
            self.save_model(folder)
        if self.args.should_save:
            # Trainer pickles its arguments beside every model; a published folder holds safetensors and JSON only.
            (Path(folder) / TRAINING_ARGS_NAME).unlink(missing_ok=True)
            if dtype is not None:
                cast_saved_model(folder, dtype)
