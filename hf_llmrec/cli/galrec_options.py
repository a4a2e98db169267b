"""Options of ``train galrec``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..methods.galrec.configuration_galrec import GALRecConfig
from ..methods.galrec.prompt import GALRecPrompt
from ..methods.galrec.trainer_config import GALRecTrainingConfig
from .backbones import BackboneArguments
from .list_options import json_object

PROMPT_OPTIONS = (
    *("template", "hops", "max_history", "num_neighbors", "num_neighbor_items", "neighbor_order", "title_hops"),
    "max_title_tokens",
)


EXTERNAL = {"text": ("text",), "collaborative": ("collaborative",), "both": ("text", "collaborative")}


@dataclass
class GALRecArguments(BackboneArguments):
    """What to train on, and what to train.

    Args:
        external: kinds of external embeddings: ``text``, ``collaborative`` or ``both``.
        external_embeddings: safetensors file with ``item_embeddings`` of a classical recommender. Without it, SASRec is
            trained first.
        teacher_dir: folder of that SASRec; default: ``--output_dir`` with ``-teacher`` after its name. It does not lie
            in ``--output_dir``, which may be published.
        teacher_options: of `train sasrec`, for that SASRec, as JSON.
        text_embeddings: safetensors file with ``item_embeddings`` of texts; or
        text_encoder: ``tfidf``, a sentence-transformers model or a language model to make them with.
        model_options: fields of `GALRecConfig`, as JSON.
        template, hops, num_neighbors, num_neighbor_items, neighbor_order, title_hops, max_title_tokens, max_history:
            what a user's sequence holds, see `GALRecPrompt`; ``max_length`` is its token budget.
        include_graph: publish the interaction graph with the model (rows, no user ids), so that it reads neighbours
            where it is served.
        others: see `BackboneArguments`.
    """

    external: str = field(default="both", metadata={"help": "`text`, `collaborative` or `both`"})
    external_embeddings: str | None = field(
        default=None,
        metadata={"help": "safetensors file of a classical recommender (default: SASRec is trained first)"},
    )
    teacher_dir: str | None = field(
        default=None, metadata={"help": "folder of that SASRec (default: OUTPUT_DIR-teacher, beside --output_dir)"}
    )
    teacher_options: dict[str, Any] | str | None = field(
        default_factory=dict, metadata={"help": "options of `train sasrec` for the teacher, as JSON"}
    )
    text_embeddings: str | None = field(default=None, metadata={"help": "safetensors file of text embeddings"})
    text_encoder: str = field(default="tfidf", metadata={"help": "`tfidf`, or the model that embeds texts"})
    model_options: dict[str, Any] | str | None = field(
        default_factory=dict, metadata={"help": "fields of the model's configuration, as JSON"}
    )
    template: str | None = field(
        default=None,
        metadata={
            "help": "`words`, or `bare`: no words around the tokens (default: `bare` from scratch, else `words`)"
        },
    )
    hops: int | None = field(default=None, metadata={"help": "1, 2 or 3 (default: 2)"})
    max_history: int | None = field(
        default=None, metadata={"help": "how many of the latest items of a history are read (default: 50)"}
    )
    num_neighbors: int | None = field(default=None, metadata={"help": "users of hop 2 (default: 8)"})
    num_neighbor_items: int | None = field(default=None, metadata={"help": "items of hop 3 (default: 8)"})
    neighbor_order: str | None = field(
        default=None, metadata={"help": "hop 2: `uniform` samples or `most_shared` first (default: uniform)"}
    )
    title_hops: list[int] | None = field(
        default=None,
        metadata={
            "help": "titles beside items: 0 an item's own segment, hops 1 and 3 (default: none from scratch, else 0)"
        },
    )
    max_title_tokens: int | None = field(
        default=None, metadata={"help": "tokens of a title; what is longer is cut (default: 16)"}
    )
    include_graph: bool = field(default=False, metadata={"help": "publish the interaction graph with the model"})

    def __post_init__(self):
        super().__post_init__()
        if self.external not in EXTERNAL:
            raise ValueError(f"--external must be one of {sorted(EXTERNAL)}, got {self.external!r}")
        if self.external_embeddings and self.external == "text":
            raise ValueError("--external_embeddings are of a classical recommender, which --external text leaves out")
        for name in ("model_options", "teacher_options"):
            setattr(self, name, json_object(name, getattr(self, name)))
        unknown = sorted(set(self.model_options) - set(GALRecConfig().to_dict()))
        if unknown:
            raise ValueError(f"--model_options: GALRecConfig has no {unknown}")

    def prompt(self, training: GALRecTrainingConfig) -> dict[str, Any]:
        """Fields of the prompt that somebody set."""
        fields = {name: getattr(self, name) for name in PROMPT_OPTIONS}
        fields |= {"max_length": training.max_length, "chat": self.use_chat_template}
        if training.lm_loss_weight and self.title_hops is None:
            fields["title_hops"] = (0,)  # its titles are what the vocabulary loss is of
        found = {name: value for name, value in fields.items() if value is not None}
        GALRecPrompt(**found)  # before anything is loaded: whether the values are such
        return found
