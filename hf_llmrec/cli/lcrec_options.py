"""Options of ``train lcrec``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..generation.level_head import NORMALIZATIONS
from ..methods.lcrec.adapters import TRAIN_INDEX_ROWS
from ..methods.lcrec.index_embeddings import METHODS as INDEX_INITS
from ..methods.lcrec.prompt import SEQ_FORMS
from ..methods.lcrec.trainer_config import LCRecTrainingConfig
from .backbones import BackboneArguments


@dataclass
class LCRecArguments(BackboneArguments):
    """What to train on, and what to train.

    Args:
        index: folder or Hub id of an `ItemIndex`, made by ``build-index``.
        train_index_rows: with ``--use_peft``: ``rows`` trains only the index tokens' embedding rows beside the
            adapters, ``all`` the whole embedding matrices, ``none`` neither.
        seq_form: ``packed`` (every position of a sequence is a target) or ``prefix`` (the paper's one target per row).
        packed_prefix: text before the history in the packed form.
        max_history: how many of the latest items of a history are read.
        num_beams: beams of the ranking metrics during training, and the default stored with the model.
        normalize: normalisation of decoding scores stored with the model: ``vocab``, ``level`` or ``children``.
        index_init: how new embedding rows start: ``codebook`` or ``mean_noise``.
        replace_index: with ``--model_name_or_path`` of an LC-Rec model that was trained with another index: draw all
            index rows anew. Without it another index is refused, and rows of tokens that the model has stay as learned.
        others: see `BackboneArguments`.
    """

    index: str = field(default=None, metadata={"help": "folder or Hub id of an item index (build-index)"})
    train_index_rows: str = field(default="rows", metadata={"help": "with --use_peft: `rows`, `all` or `none`"})
    seq_form: str | None = field(
        default=None, metadata={"help": "`packed` or `prefix` (the paper's) (default: the model's own, else packed)"}
    )
    packed_prefix: str | None = field(
        default=None, metadata={"help": "text before the history in the packed form (default: a few words)"}
    )
    max_history: int | None = field(
        default=None, metadata={"help": "how many of the latest items of a history are read (default: 20)"}
    )
    num_beams: int | None = field(
        default=None, metadata={"help": "beams of ranking, during training and stored with the model (default: 20)"}
    )
    normalize: str | None = field(
        default=None,
        metadata={"help": "normalisation of decoding scores: `vocab`, `level` or `children` (default: level)"},
    )
    index_init: str = field(
        default="codebook", metadata={"help": "how new embedding rows start: `codebook` or `mean_noise`"}
    )
    replace_index: bool = field(
        default=False, metadata={"help": "draw the rows of a model that was trained with another index anew"}
    )

    def __post_init__(self):
        super().__post_init__()
        if not self.index:
            raise ValueError("--index is required: a folder made by build-index")
        choices = {
            "seq_form": (None, *SEQ_FORMS),
            "index_init": INDEX_INITS,
            "normalize": (None, *NORMALIZATIONS),
            "train_index_rows": TRAIN_INDEX_ROWS,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                words = ", ".join(each for each in allowed if each)
                raise ValueError(f"--{name} must be one of {words}, got {getattr(self, name)!r}")
        if self.num_beams is not None and self.num_beams < 10:
            raise ValueError(
                f"--num_beams must be at least 10, the longest list that is evaluated; got {self.num_beams}"
            )

    def prompt(self, training: LCRecTrainingConfig) -> dict[str, Any]:
        """Fields of the prompt that somebody set."""
        fields = {
            "form": self.seq_form,
            "packed_prefix": self.packed_prefix,
            "max_history": self.max_history,
            "max_length": training.max_length,
            "chat": self.use_chat_template,
        }
        return {name: value for name, value in fields.items() if value is not None}
