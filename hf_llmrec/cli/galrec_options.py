"""Options of ``train galrec``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..methods.galrec.configuration_galrec import GALRecConfig
from .galrec_prompt_options import GALRecPromptArguments
from .json_options import JsonObject, json_object
from .results import changed_options

# Choices of --external, with the kinds of embeddings that each one uses.
EXTERNAL = {"text": ("text",), "collaborative": ("collaborative",), "both": ("text", "collaborative")}


@dataclass
class GALRecArguments(GALRecPromptArguments):
    """What to train GAL-Rec on, and with what. The other parameters are those of [`GALRecPromptArguments`].

    Args:
        external: kinds of external item embeddings: ``text``, ``collaborative`` or ``both``.
        external_embeddings: safetensors file with ``item_embeddings`` of a classical recommender; default: SASRec is
            trained first.
        teacher_dir: folder for that SASRec; default: ``--output_dir`` with ``-teacher`` after its name. It lies outside
            of ``--output_dir``, which may be published.
        teacher_options: options of `train sasrec` for that SASRec, as JSON.
        text_embeddings: safetensors file with ``item_embeddings`` of the items' texts; default: ``text_encoder``.
        text_encoder: what embeds the texts: ``tfidf``, a sentence-transformers model or a language model.
        model_options: fields of `GALRecConfig`, as JSON.
        include_graph: publish the interaction graph with the model (rows, no user ids), so that it reads neighbours
            where it is served.
    """

    external: str = field(default="both", metadata={"help": "`text`, `collaborative` or `both`"})
    external_embeddings: str | None = field(
        default=None,
        metadata={"help": "safetensors file of a classical recommender (default: SASRec is trained first)"},
    )
    teacher_dir: str | None = field(
        default=None, metadata={"help": "folder for that SASRec (default: OUTPUT_DIR-teacher, beside --output_dir)"}
    )
    teacher_options: JsonObject = field(
        default_factory=dict, metadata={"help": "options of `train sasrec` for the teacher, as JSON"}
    )
    text_embeddings: str | None = field(default=None, metadata={"help": "safetensors file of text embeddings"})
    text_encoder: str = field(default="tfidf", metadata={"help": "`tfidf`, or the model that embeds texts"})
    model_options: JsonObject = field(
        default_factory=dict, metadata={"help": "fields of the model's configuration, as JSON"}
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

    @property
    def changed(self) -> dict[str, Any]:
        return changed_options(self, GALRecArguments(dataset=""))
