"""What the trainers of language models share: TRL's SFTTrainer on rows of the epoch, saved as whole models."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.trainer import TRAINING_ARGS_NAME
from trl import SFTTrainer
from trl.models import unwrap_model_for_generation

from .budget import fill_budget
from .language_model_config import LanguageModelTrainingConfig
from .load_backbone import check_positions
from .merged_copy import merged_copy
from .row_trainer import RowTrainerMixin
from .saved_dtype import cast_saved_model
from .spread_weights import num_values
from .whole_model import is_sharded, whole_copy


def start_from_recommender(args: LanguageModelTrainingConfig, recommender: Any) -> None:
    """Fill options of a training that its recommender decides over, and give it the ``max_length`` of the others.

    Args:
        args: options of the training. recommender: of a language model.
    """
    args.start_from(pretrained=recommender.is_pretrained)
    if args.max_length is None:
        args.max_length = recommender.prompt.max_length
    if args.max_length is None:
        raise ValueError("max_length must be set: the recommender's prompt has none, and rows are cut to it")
    recommender.set_max_length(args.max_length)


class LanguageModelTrainer(RowTrainerMixin, SFTTrainer):
    """`SFTTrainer` whose rows are built per epoch; see `RowTrainerMixin`.

    Its recommender has a ``tokenizer``, a ``prompt`` and `set_max_length`.
    """

    # Why the last ranking was made in a slower way than the recommender's own; ``None``: it was not.
    decoding_fallback: str | None = None

    def __init__(self, recommender, args, **kwargs: Any):
        start_from_recommender(args, recommender)
        super().__init__(recommender, args, processing_class=recommender.tokenizer, **kwargs)
        whole = self.accelerator.unwrap_model(self.model)
        recommender.model, recommender.adapted = self._recommending(whole), whole if self._is_peft() else None

    def prepare(self, args, train_dataset, *, has_adapters):
        model = self.recommender.model
        check_positions(model, model.name_or_path or "the model", args.max_length)
        size, lengths = sum(map(num_values, model.parameters())), train_dataset.lengths(0)
        fill_budget(args, lengths, size, has_adapters, target_per_item=self.has_target_per_item)
        return model

    @property
    def has_target_per_item(self) -> bool:
        """Whether long rows have more targets than short ones, see `fill_budget`."""
        return True

    def _rank(self, cases):
        metrics = super()._rank(cases)
        self.decoding_fallback = self.recommender.fallback
        return metrics

    def _recommending(self, model: nn.Module) -> PreTrainedModel:
        from peft import PeftModel

        return model.get_base_model() if isinstance(model, PeftModel) else model

    def _save_weights(self, folder: Path, dtype: torch.dtype | None) -> None:
        self.save_whole_model(str(folder), dtype)

    def _is_peft(self) -> bool:
        from peft import PeftModel

        return isinstance(self.accelerator.unwrap_model(self.model), PeftModel)

    def _whole_model(self) -> AbstractContextManager[nn.Module]:
        # Before the first step there is no wrapped model yet.
        if is_sharded(self.model_wrapped):
            return nullcontext(whole_copy(self.model_wrapped, self.args.device))
        # Gathers ZeRO-3's shards.
        return unwrap_model_for_generation(self.model_wrapped, self.accelerator)

    def _log_tokens(self, mode: str, tokens: int) -> None:
        if mode == "train":
            self._total_train_tokens += tokens * self.accelerator.num_processes
        self._metrics[mode]["num_tokens"] = [self._total_train_tokens]

    def save_whole_model(self, folder: str, dtype: torch.dtype | None = None) -> None:
        """Save a checkpoint that needs no adapters: merged, shards gathered, no pickled arguments.

        Called on all processes, at any time: the model is not changed.

        Args:
            dtype: of the saved weights; default: that of the model.
        """
        if is_sharded(self.model_wrapped):
            copy = whole_copy(self.model_wrapped, "cpu", keep=self.args.should_save)
            if copy is not None:
                copy.save_pretrained(folder)
        elif self._is_peft():
            with self._whole_model() as model:
                if self.args.should_save:
                    merged_copy(model).save_pretrained(folder)
        else:
            self.save_model(folder)
        if self.args.should_save:
            # Trainer pickles its arguments beside every model; a published folder holds safetensors and JSON only.
            (Path(folder) / TRAINING_ARGS_NAME).unlink(missing_ok=True)
            if dtype is not None:
                cast_saved_model(folder, dtype)
