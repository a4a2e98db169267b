"""Options of LC-Rec training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from trl import SFTConfig


@dataclass
class LCRecTrainingConfig(SFTConfig):
    """`trl.SFTConfig` plus what LC-Rec adds. Defaults that differ from TRL's are chosen for training on item indices.

    Args:
        task_weights: rows of each task per epoch as a multiple of the rows it has; JSON on the command line.
        seq_form: ``packed`` (every position of a sequence is a target) or ``prefix`` (the paper's one target per row).
        packed_prefix: text before the history in the packed form.
        max_history: how many of the latest items of a history are read.
        tokens_per_batch: tokens per batch and process; replaces ``per_device_train_batch_size`` when set.
        learning_rate, num_train_epochs: default: from the size of the model and of the data, see `fill_budget`; so is
            ``tokens_per_batch`` of small models.
        index_loss: normalise index tokens over their ``level``'s codes or over the whole ``vocab``.
        item_dropout: probability with which an item of a packed sequence is left out in an epoch.
        embedding_dropout: dropout on the input embeddings during training.
        residual_dropout: dropout on what attention and MLP add to the residual stream during training.
        index_init: how new embedding rows start: ``codebook`` or ``mean_noise``.
        num_beams: beams of the ranking metrics during training, and the default stored with the model.
        normalize: normalisation of decoding scores stored with the model: ``vocab``, ``level`` or ``children``.
        eval_users: how many validation users are ranked at each evaluation (0: all).
    """

    # Annotated by value, so that TrlParser parses JSON for it.
    _VALID_DICT_FIELDS = SFTConfig._VALID_DICT_FIELDS + ["task_weights"]

    task_weights: dict[str, Any] | str | None = field(
        default_factory=lambda: {"seq": 1.0, "mut": 1.0, "asy": 0.2, "ite": 1.0, "per": 1.0},
        metadata={"help": "rows of each task per epoch as a multiple of the rows it has; JSON on the command line"},
    )
    seq_form: str = field(default="packed", metadata={"help": "`packed` or `prefix` (the paper's)"})
    packed_prefix: str = field(
        default="Items this customer chose, oldest first: ",
        metadata={"help": "text before the history in the packed form"},
    )
    max_history: int = field(default=20, metadata={"help": "how many of the latest items of a history are read"})
    tokens_per_batch: int | None = field(
        default=None,
        metadata={"help": "tokens per batch and process; replaces per_device_train_batch_size when set"},
    )
    index_loss: str = field(
        default="level", metadata={"help": "normalise index tokens over their `level`'s codes or the whole `vocab`"}
    )
    item_dropout: float = field(
        default=0.0, metadata={"help": "probability with which an item of a packed sequence is left out in an epoch"}
    )
    embedding_dropout: float = field(default=0.0, metadata={"help": "dropout on the input embeddings in training"})
    residual_dropout: float = field(
        default=0.0, metadata={"help": "dropout on what attention and MLP add to the residual stream in training"}
    )
    index_init: str = field(
        default="codebook", metadata={"help": "how new embedding rows start: `codebook` or `mean_noise`"}
    )
    num_beams: int = field(default=20, metadata={"help": "beams of ranking, during training and stored with the model"})
    normalize: str = field(
        default="level", metadata={"help": "normalisation of decoding scores: `vocab`, `level` or `children`"}
    )
    eval_users: int = field(default=2000, metadata={"help": "validation users ranked at each evaluation (0: all)"})
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
    max_length: int | None = field(default=1024, metadata={"help": "longest row, in tokens"})

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
            self.ddp_find_unused_parameters = False  # the loss touches every parameter, see `IndexLoss`
        super().__post_init__()
        if not isinstance(self.task_weights, dict):
            raise ValueError(f"task_weights must be a JSON object of task and weight, got {self.task_weights!r}")
        if self.max_length is None:
            raise ValueError("max_length must be set: rows are cut to it, oldest items first")
        choices = {
            "seq_form": ("packed", "prefix"),
            "index_loss": ("level", "vocab"),
            "index_init": ("codebook", "mean_noise"),
            "normalize": ("vocab", "level", "children"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        for name in ("num_beams", "max_history", "tokens_per_batch", "max_length"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.num_beams < 10:
            raise ValueError(f"num_beams must be at least 10, the longest list that is evaluated; got {self.num_beams}")
        if self.eval_users < 0:
            raise ValueError(f"eval_users must not be negative, got {self.eval_users}")
        for name in ("packing", "padding_free", "label_smoothing_factor", "assistant_only_loss"):
            if getattr(self, name):
                raise ValueError(f"{name} has no effect on rows of item indices: leave it out")
        for name in ("item_dropout", "embedding_dropout", "residual_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
