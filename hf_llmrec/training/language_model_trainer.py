"""What the trainers of language models share: TRL's SFTTrainer on rows of the epoch, saved as whole models."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import nn
from transformers.trainer import TRAINING_ARGS_NAME
from trl import SFTTrainer
from trl.models import unwrap_model_for_generation

from .merged_copy import merged_copy
from .row_trainer import RowTrainerMixin
from .saved_dtype import cast_saved_model
from .whole_model import is_sharded, whole_copy


class LanguageModelTrainer(RowTrainerMixin, SFTTrainer):
    """`SFTTrainer` whose rows are built per epoch; see `RowTrainerMixin`."""

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
