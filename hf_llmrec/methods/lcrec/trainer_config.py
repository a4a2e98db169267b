"""Options of LC-Rec training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...training.language_model_config import LanguageModelTrainingConfig
from .prompt import LCRecPrompt


@dataclass
class LCRecTrainingConfig(LanguageModelTrainingConfig):
    """`LanguageModelTrainingConfig` plus what LC-Rec adds.

    Args:
        task_weights: rows of each task per epoch as a multiple of the rows it has; JSON on the command line.
        seq_form: ``packed`` (every position of a sequence is a target) or ``prefix`` (the paper's one target per row).
        packed_prefix: text before the history in the packed form.
        max_history: how many of the latest items of a history are read.
        index_loss: normalise index tokens over their ``level``'s codes or over the whole ``vocab``.
        item_dropout: probability with which an item of a packed sequence is left out in an epoch.
        embedding_dropout: dropout on the input embeddings during training.
        residual_dropout: dropout on what attention and MLP add to the residual stream during training.
        index_init: how new embedding rows start: ``codebook`` or ``mean_noise``.
        num_beams: beams of the ranking metrics during training, and the default stored with the model.
        normalize: normalisation of decoding scores stored with the model: ``vocab``, ``level`` or ``children``.
    """

    # Annotated by value, so that TrlParser parses JSON for it.
    _VALID_DICT_FIELDS = LanguageModelTrainingConfig._VALID_DICT_FIELDS + ["task_weights"]

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
    max_length: int | None = field(default=1024, metadata={"help": "longest row, in tokens"})

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.task_weights, dict):
            raise ValueError(f"task_weights must be a JSON object of task and weight, got {self.task_weights!r}")
        for task, weight in self.task_weights.items():
            if not isinstance(weight, (int, float)):
                raise ValueError(f"task_weights: the weight of {task} must be a number, got {weight!r}")
        choices = {
            "seq_form": ("packed", "prefix"),
            "index_loss": ("level", "vocab"),
            "index_init": ("codebook", "mean_noise"),
            "normalize": ("vocab", "level", "children"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        for name in ("num_beams", "max_history"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.num_beams < 10:
            raise ValueError(f"num_beams must be at least 10, the longest list that is evaluated; got {self.num_beams}")
        for name in ("item_dropout", "embedding_dropout", "residual_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")

    def prompt(self) -> LCRecPrompt:
        """What a model reads when it recommends."""
        return LCRecPrompt(
            form=self.seq_form,
            packed_prefix=self.packed_prefix,
            max_history=self.max_history,
            max_length=self.max_length,
            chat=self.use_chat_template,
        )
