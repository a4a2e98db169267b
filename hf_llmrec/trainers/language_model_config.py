"""Options that the trainers of language models share."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from trl import SFTConfig

from .tracked_config import TrackedConfig


@dataclass
class LanguageModelTrainingConfig(TrackedConfig, SFTConfig):
    """`trl.SFTConfig` with defaults for rows of items, which come tokenized and are ranked while a model trains.

    Args:
        tokens_per_batch: tokens per batch and process; replaces ``per_device_train_batch_size`` when set. Rows of
            similar length share a batch: in batches of as many rows each, targets of long rows count for less.
        eval_users: how many validation users are ranked at each evaluation (0: all).
        use_chat_template: put prompts as messages of the tokenizer's chat template, for instruct models.
        learning_rate, num_train_epochs: default: from the size of the model and of the data, see `fill_budget`; so is
            ``tokens_per_batch``, of small models and of rows with a target per item.
        report_to, hub_strategy: see `TrackedConfig`.
    """

    tokens_per_batch: int | None = field(
        default=None,
        metadata={"help": "tokens per batch and process; replaces per_device_train_batch_size when set"},
    )
    eval_users: int = field(default=2000, metadata={"help": "validation users ranked at each evaluation (0: all)"})
    use_chat_template: bool = field(
        default=False, metadata={"help": "put prompts as messages of an instruct model's chat template"}
    )
    learning_rate: float | None = field(
        default=None, metadata={"help": "peak learning rate (default: from the model's size, see `fill_budget`)"}
    )
    num_train_epochs: float | None = field(
        default=None, metadata={"help": "epochs (default: from the model's and the data's size)"}
    )
    # Defaults of TRL's that fit neither small models nor machines without a GPU.
    activation_checkpointing: bool | None = field(default=False, metadata={"help": "trade compute for memory"})
    bf16: bool | None = field(default=None, metadata={"help": "bf16 autocast; default: where a GPU supports it"})
    logging_steps: float = field(default=50, metadata={"help": "log every so many optimizer steps"})
    save_total_limit: int | None = field(default=2, metadata={"help": "how many checkpoints are kept"})

    def __post_init__(self):
        if self.bf16 is None:
            self.bf16 = (
                False if self.fp16 or self.use_cpu else torch.cuda.is_available() and torch.cuda.is_bf16_supported()
            )
        if not torch.cuda.is_available():
            self.dataloader_pin_memory = False  # PyTorch warns at every loader otherwise
        # Rows come tokenized, with labels: TRL must not prepare them again.
        self.dataset_kwargs = {**(self.dataset_kwargs or {}), "skip_prepare_dataset": True}
        if self.ddp_find_unused_parameters is None:
            self.ddp_find_unused_parameters = False  # every step touches every parameter
        super().__post_init__()
        if self.max_length is None:
            raise ValueError("max_length must be set: rows are cut to it, oldest items first")
        for name in ("packing", "padding_free", "label_smoothing_factor", "assistant_only_loss"):
            if getattr(self, name):
                raise ValueError(f"{name} has no effect on rows of items: leave it out")
        for name in ("tokens_per_batch", "max_length"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.eval_users < 0:
            raise ValueError(f"eval_users must not be negative, got {self.eval_users}")
