"""`TextEncoderTrainingConfig`: options of training the text encoder."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...training.row_config import RowTrainingConfig

FINETUNE = ("lora", "full")


@dataclass
class TextEncoderTrainingConfig(RowTrainingConfig):
    """Options of training the text encoder. The other parameters are those of [`RowTrainingConfig`].

    When the sentence-transformers model is fine-tuned, options that are measured in items or tokens count training
    interactions.

    Args:
        target_steps: optimizer steps of a run where ``num_train_epochs`` is not set; fine-tuning then takes 3 epochs.
        tokens_per_batch: items per batch and process; default: as many as give ``steps_per_epoch`` steps, or 64 queries
            and their documents for fine-tuning.
        per_device_eval_batch_size: rows per batch and process of the validation loss; the catalogue is adapted anew
            for each batch. Fine-tuning uses ``tokens_per_batch`` there, too.
        learning_rate: peak learning rate; default: 3e-3 with frozen text vectors, 2e-4 with LoRA, 2e-5 of full
            fine-tuning.
        finetune: ``lora`` or ``full``, how the sentence-transformers model is fine-tuned; ``None``: text vectors stay
            as they are.
        item_dropout: with frozen text vectors, the probability with which an item of a sequence is left out in an
            epoch.
        lora_r: rank of the LoRA matrices.
        lora_alpha: scale of the LoRA matrices, which is divided by the rank.
        lora_dropout: dropout before the LoRA matrices.

    Raises:
        ValueError: a value out of range.
    """

    target_steps: int = field(default=2000, metadata={"help": "optimizer steps, without num_train_epochs"})
    tokens_per_batch: int | None = field(
        default=None, metadata={"help": "items, or tuned queries, per batch and process"}
    )
    per_device_eval_batch_size: int = field(default=128, metadata={"help": "rows per batch of the validation loss"})
    # Filled in by `TextEncoderTrainer`.
    learning_rate: float | None = field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default=None, metadata={"help": "peak learning rate (default: 3e-3; lora 2e-4, full 2e-5)"}
    )
    finetune: str | None = field(
        default=None,
        metadata={"help": "fine-tune the sentence-transformers model: `lora` or `full` (default: neither)"},
    )
    item_dropout: float = field(
        default=0.2, metadata={"help": "probability with which an item of a sequence is left out in an epoch"}
    )
    lora_r: int = field(default=16, metadata={"help": "rank of the LoRA matrices"})
    lora_alpha: int = field(default=32, metadata={"help": "scale of the LoRA matrices, which is divided by the rank"})
    lora_dropout: float = field(default=0.05, metadata={"help": "dropout before the LoRA matrices"})

    def __post_init__(self):
        super().__post_init__()
        if self.finetune and self.gradient_checkpointing:
            raise ValueError("gradient_checkpointing has no effect on a sentence-transformers model: leave it out")
        if self.finetune is not None and self.finetune not in FINETUNE:
            raise ValueError(f"finetune must be one of {FINETUNE}, got {self.finetune!r}")
        if not 0 <= self.item_dropout < 1:
            raise ValueError(f"item_dropout must lie in [0, 1), got {self.item_dropout}")
        if self.lora_r < 1:
            raise ValueError(f"lora_r must be at least 1, got {self.lora_r}")
