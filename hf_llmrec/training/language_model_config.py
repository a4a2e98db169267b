"""Options that the trainers of language models share."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from trl import SFTConfig  # pyright: ignore[reportPrivateImportUsage]  # exported lazily

from .machine_config import MachineConfig, has_fast_bf16
from .matrix_optimizer_config import MatrixOptimizerConfig
from .start_defaults import StartDefaults
from .tracked_config import TrackedConfig

DEFAULT_BATCH_SIZE = 8


@dataclass
class LanguageModelTrainingConfig(StartDefaults, MachineConfig, MatrixOptimizerConfig, TrackedConfig, SFTConfig):
    """`trl.SFTConfig` with defaults for rows of items, which come tokenized and are ranked while a model trains.

    Args:
        tokens_per_batch: tokens per batch and process; replaces ``per_device_train_batch_size`` when set. Rows of
            similar length share a batch: with a fixed number of rows per batch, targets of long rows would count for
            less. Default: chosen by `fill_budget` for models from scratch and for rows with a target per item.
        eval_users: number of validation users that are ranked at each evaluation (0: all).
        pretrained: whether trained weights are tuned, for which other defaults hold than for a model trained from
            scratch; default: trainers take it from their recommender.
        per_device_train_batch_size: rows per batch and process; default: 8, or what ``tokens_per_batch`` gives.
        patience: number of evaluations without a better result after which training stops (0: never); needs
            ``load_best_model_at_end``.
        max_length: maximum length in tokens of rows, and of what the recommender reads; default: that of the
            recommender.
        learning_rate: peak learning rate; default: from the size of the model, see `fill_budget`.
        num_train_epochs: epochs; default: from the size of the model and of the data, see `fill_budget`.
        activation_checkpointing: whether activations are computed again in the backward pass, which takes less memory
            and more time.
        bf16: whether matrix products are in bf16 (autocast); default: where the accelerator supports it.
        logging_steps: optimizer steps between two logs; below 1, their share of all steps.
        save_total_limit: number of checkpoints that are kept.

    The other parameters are those of [`MatrixOptimizerConfig`], [`TrackedConfig`] and [`trl.SFTConfig`];
    `MachineConfig` says which of them follow from the machine.

    Raises:
        ValueError: a value out of range, or an option that has no effect on rows of items.
    """

    tokens_per_batch: int | None = field(
        default=None,
        metadata={"help": "tokens per batch and process; replaces per_device_train_batch_size when set"},
    )
    eval_users: int = field(default=2000, metadata={"help": "validation users ranked at each evaluation (0: all)"})
    pretrained: bool | None = field(
        default=None, metadata={"help": "tune trained weights (default: whether --model_name_or_path is given)"}
    )
    per_device_train_batch_size: int | None = field(
        default=None, metadata={"help": "rows per batch and process (default: 8, or what tokens_per_batch gives)"}
    )
    patience: int = field(
        default=0, metadata={"help": "stop after so many evaluations without a better one (0: never)"}
    )
    max_length: int | None = field(
        default=None, metadata={"help": "longest row, in tokens (default: the model's own, from scratch 1024)"}
    )
    learning_rate: float | None = field(
        default=None, metadata={"help": "peak learning rate (default: from the model's size, see `fill_budget`)"}
    )
    num_train_epochs: float | None = field(
        default=None, metadata={"help": "epochs (default: from the model's and the data's size)"}
    )
    # Defaults of TRL's that fit neither small models nor machines without a GPU.
    activation_checkpointing: bool | None = field(default=False, metadata={"help": "trade compute for memory"})
    bf16: bool | None = field(
        default=None, metadata={"help": "bf16 autocast (default: where an accelerator has it; on the CPU see `doctor`)"}
    )
    logging_steps: float = field(default=50, metadata={"help": "log every so many optimizer steps"})
    save_total_limit: int | None = field(default=2, metadata={"help": "how many checkpoints are kept"})

    @property
    def has_momentum_copy(self) -> bool:
        """Whether the training keeps a momentum copy of the trained parameters."""
        return False

    def __post_init__(self):
        self._rows_chosen = self.per_device_train_batch_size is not None
        if not self._rows_chosen:
            self.per_device_train_batch_size = DEFAULT_BATCH_SIZE
        if self.bf16 is None:
            self.bf16 = not self.fp16 and not self.use_cpu and has_fast_bf16()
        # Rows come tokenized, with labels: TRL must not prepare them again.
        dataset_kwargs = self.dataset_kwargs or {}
        if isinstance(dataset_kwargs, str):  # as the command line passes it
            dataset_kwargs = json.loads(dataset_kwargs)
        self.dataset_kwargs = {**dataset_kwargs, "skip_prepare_dataset": True}
        super().__post_init__()
        for name in ("packing", "padding_free", "label_smoothing_factor", "assistant_only_loss"):
            if getattr(self, name):
                raise ValueError(f"{name} has no effect on rows of items: leave it out")
        for name in ("tokens_per_batch", "max_length"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("eval_users", "patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
