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
from .results import changed_options


@dataclass
class LCRecArguments(BackboneArguments):
    """What to train LC-Rec on, and how. The other parameters are those of [`BackboneArguments`].

    Args:
        index: folder or Hub id of an `ItemIndex`, made by ``build-index``. Required.
        train_index_rows: with ``--use_peft``, what is trained beside the adapters: ``rows``, the embedding rows of the
            index tokens; ``all``, the full embedding matrices; ``none``, neither.
        seq_form: ``packed`` (every position of a sequence is a target) or ``prefix`` (one target per row, as in the
            paper); default: as the model of ``--model_name_or_path`` was trained, else ``packed``.
        packed_prefix: text before the history in the packed form; default: a few words.
        max_history: how many of the latest items of a history are read; default: 20.
        num_beams: beams for the ranking metrics during training, also stored with the model, at least 10; default: 20.
        normalize: normalisation of decoding scores, stored with the model: ``vocab``, ``level`` or ``children``;
            default: ``level``.
        index_init: how new embedding rows are initialised: ``codebook`` or ``mean_noise``.
        replace_index: with ``--model_name_or_path`` of an LC-Rec model that was trained with another index: initialise
            all index rows again. Without it, another index is refused, and rows of tokens that the model has already
            stay as learned.
    """

    index: str = field(default="", metadata={"help": "folder or Hub id of an item index (build-index)"})
    train_index_rows: str = field(
        default="rows", metadata={"help": "index embeddings trained with --use_peft: `rows`, `all` or `none`"}
    )
    seq_form: str | None = field(
        default=None, metadata={"help": "`packed`, or `prefix` as in the paper (default: the model's own, else packed)"}
    )
    packed_prefix: str | None = field(
        default=None, metadata={"help": "text before the history in the packed form (default: a few words)"}
    )
    max_history: int | None = field(
        default=None, metadata={"help": "how many of the latest items of a history are read (default: 20)"}
    )
    num_beams: int | None = field(
        default=None, metadata={"help": "beams for ranking, during training and stored with the model (default: 20)"}
    )
    normalize: str | None = field(
        default=None,
        metadata={"help": "normalisation of decoding scores: `vocab`, `level` or `children` (default: level)"},
    )
    index_init: str = field(
        default="codebook", metadata={"help": "how new embedding rows are initialised: `codebook` or `mean_noise`"}
    )
    replace_index: bool = field(
        default=False, metadata={"help": "initialise the index rows of a model trained with another index again"}
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

    @property
    def changed(self) -> dict[str, Any]:
        return changed_options(self, LCRecArguments(dataset="", index=" "))

    def prompt(self, training: LCRecTrainingConfig) -> dict[str, Any]:
        """The fields of the prompt that are set.

        Args:
            training: has ``max_length``.
        """
        fields = {
            "form": self.seq_form,
            "packed_prefix": self.packed_prefix,
            "max_history": self.max_history,
            "max_length": training.max_length,
            "chat": self.use_chat_template,
        }
        return {name: value for name, value in fields.items() if value is not None}
