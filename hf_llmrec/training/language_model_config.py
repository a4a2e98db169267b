"""Options that the trainers of language models share."""

from __future__ import annotations

from dataclasses import dataclass, field

from trl import SFTConfig

from .machine_config import MachineConfig, has_fast_bf16
from .start_defaults import StartDefaults
from .tracked_config import TrackedConfig


@dataclass
class LanguageModelTrainingConfig(StartDefaults, MachineConfig, TrackedConfig, SFTConfig):
    """`trl.SFTConfig` with defaults for rows of items, which come tokenized and are ranked while a model trains.

    Args:
        tokens_per_batch: tokens per batch and process; replaces ``per_device_train_batch_size`` when set. Rows of
            similar length share a batch: in batches of as many rows each, targets of long rows count for less.
        eval_users: how many validation users are ranked at each evaluation (0: all).
        patience: stop after so many evaluations without a better result (0: never); needs ``load_best_model_at_end``.
        max_length: tokens of the longest row, and of what the recommender reads; default: what it reads already.
        pretrained: whether trained weights are tuned, whose defaults differ from those of a model trained from scratch.
            Trainers take it from their recommender.
        learning_rate, num_train_epochs: default: from the size of the model and of the data, see `fill_budget`; so is
            ``tokens_per_batch``, from scratch and of rows with a target per item.
        per_device_train_batch_size: default: 8, or what ``tokens_per_batch`` gives.
        report_to, hub_strategy: see `TrackedConfig`. Options that follow from the machine: see `MachineConfig`.
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

    def __post_init__(self):
        self._rows_chosen = self.per_device_train_batch_size is not None
        if not self._rows_chosen:
            self.per_device_train_batch_size = 8
        if self.bf16 is None:
            self.bf16 = not self.fp16 and not self.use_cpu and has_fast_bf16()
        # Rows come tokenized, with labels: TRL must not prepare them again.
        self.dataset_kwargs = {**(self.dataset_kwargs or {}), "skip_prepare_dataset": True}
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
