"""Options that the trainers of small recommenders share."""

from __future__ import annotations

from dataclasses import dataclass, field

from transformers import TrainingArguments

from .machine_config import MachineConfig
from .matrix_optimizer_config import MatrixOptimizerConfig
from .tracked_config import TrackedConfig


@dataclass
class RowTrainingConfig(MachineConfig, MatrixOptimizerConfig, TrackedConfig, TrainingArguments):
    """`transformers.TrainingArguments` with defaults for small models, which are ranked while they train.

    Args:
        tokens_per_batch: items per batch and process; default: as many as give ``steps_per_epoch`` steps.
        steps_per_epoch: optimizer steps per epoch where ``tokens_per_batch`` is not set.
        max_batch: maximum of items per batch where ``tokens_per_batch`` is not set.
        eval_users: number of validation users that are ranked at each evaluation (0: all).
        patience: number of evaluations without a better NDCG@10 after which training stops (0: never).
        num_train_epochs: epochs; default: as many as ``target_steps`` need, between 20 and 200.
        target_steps: optimizer steps of a run where ``num_train_epochs`` is not set.
        learning_rate: peak learning rate of AdamW.
        lr_scheduler_type: learning-rate schedule after the warm-up.
        warmup_steps: optimizer steps of linear warm-up; below 1, their share of all steps.
        max_grad_norm: norm to which larger gradients are scaled down.
        adam_beta2: AdamW's decay of the mean squared gradient.
        logging_steps: optimizer steps between two logs; below 1, their share of all steps.
        eval_strategy: when to evaluate: ``steps``, ``epoch`` or ``no``.
        eval_steps: optimizer steps between two evaluations; below 1, their share of all steps.
        save_strategy: when to save a checkpoint: ``steps``, ``epoch`` or ``no``.
        save_steps: optimizer steps between two checkpoints; below 1, their share of all steps.
        save_total_limit: number of checkpoints that are kept.
        load_best_model_at_end: whether the best checkpoint is loaded after training.
        metric_for_best_model: metric of the evaluations by which the best checkpoint is chosen.
        greater_is_better: whether a larger ``metric_for_best_model`` is better.
        prediction_loss_only: whether evaluations keep the loss alone, and not the scores of all items.

    The other parameters are those of [`MatrixOptimizerConfig`], [`TrackedConfig`] and
    [`transformers.TrainingArguments`]; `MachineConfig` says which of them follow from the machine.

    Raises:
        ValueError: a value out of range, or an option that has no effect (see `MachineConfig`).
    """

    tokens_per_batch: int | None = field(default=None, metadata={"help": "items per batch and process"})
    steps_per_epoch: int = field(default=75, metadata={"help": "optimizer steps per epoch, without tokens_per_batch"})
    max_batch: int = field(default=8192, metadata={"help": "most items per batch, without tokens_per_batch"})
    eval_users: int = field(default=10_000, metadata={"help": "validation users ranked at each evaluation (0: all)"})
    patience: int = field(default=5, metadata={"help": "stop after so many evaluations without a better NDCG@10"})
    num_train_epochs: float | None = field(default=None, metadata={"help": "epochs (default: from the data's size)"})
    target_steps: int = field(default=5000, metadata={"help": "optimizer steps, without num_train_epochs"})
    learning_rate: float = field(default=1e-3, metadata={"help": "peak learning rate"})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "learning-rate schedule"})
    warmup_steps: float = field(default=100, metadata={"help": "steps (or, below 1, share of them) of linear warm-up"})
    max_grad_norm: float = field(default=5.0, metadata={"help": "gradients are scaled down to this norm"})
    adam_beta2: float = field(default=0.98, metadata={"help": "AdamW's second decay"})
    logging_steps: float = field(default=0.05, metadata={"help": "log every so many steps (below 1: share of them)"})
    eval_strategy: str = field(default="steps", metadata={"help": "when to evaluate"})
    eval_steps: float | None = field(default=0.05, metadata={"help": "evaluate every so many steps, or share of them"})
    save_strategy: str = field(default="steps", metadata={"help": "when to save a checkpoint"})
    save_steps: float = field(default=0.05, metadata={"help": "save every so many steps, or share of them"})
    save_total_limit: int | None = field(default=2, metadata={"help": "how many checkpoints are kept"})
    load_best_model_at_end: bool = field(default=True, metadata={"help": "keep the best checkpoint"})
    metric_for_best_model: str | None = field(
        default="ndcg@10", metadata={"help": "metric that chooses the best checkpoint"}
    )
    greater_is_better: bool | None = field(default=True, metadata={"help": "whether more of it is better"})
    prediction_loss_only: bool = field(default=True, metadata={"help": "evaluation keeps no scores"})

    def __post_init__(self):
        self._epochs_chosen = self.num_train_epochs is not None
        if self.num_train_epochs is None:
            self.num_train_epochs = 1.0  # a placeholder until `fill_row_budget`: transformers needs a number
        super().__post_init__()
        for name in ("tokens_per_batch", "steps_per_epoch", "max_batch", "target_steps"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("eval_users", "patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
