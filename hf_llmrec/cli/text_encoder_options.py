"""Options of ``train text_encoder``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..methods.text_encoder.configuration_text_encoder import TextEncoderConfig
from .json_options import JsonObject, json_object, naming
from .options import SameDataArguments
from .results import changed_options


@dataclass
class TextEncoderArguments(SameDataArguments):
    """Which texts to train on. The other parameters are those of [`SameDataArguments`].

    Args:
        text_encoder: sentence-transformers model, causal LM or encoder that embeds the items' texts; default: TF-IDF
            and truncated SVD. A sentence-transformers model is saved with the recommender.
        text_embeddings: safetensors file with text embeddings, float (items, d), in the dataset's item order, instead
            of ``text_encoder``. No sentence-transformers model is saved then.
        max_tokens: length in tokens that texts are truncated to, or the model's own limit if that is smaller.
        model_options: fields of `TextEncoderConfig`, as JSON.
        export_embeddings: safetensors file to write with the trained item and user vectors; a user's vector is that of
            the user's training history. Default: no file.
        export_users: whether ``export_embeddings`` holds user vectors, too.
        resume: continue from the last checkpoint in ``--output_dir``, if there is one.

    Raises:
        ValueError: both ``text_encoder`` and ``text_embeddings`` are given, or ``model_options`` has a field that there
            is not.
    """

    text_encoder: str | None = field(
        default=None, metadata={"help": "sentence-transformers model or other encoder (default: TF-IDF + SVD)"}
    )
    text_embeddings: str | None = field(default=None, metadata={"help": "safetensors with (items, d) embeddings"})
    max_tokens: int = field(default=512, metadata={"help": "longest text, in tokens"})
    model_options: JsonObject = field(
        default_factory=dict, metadata={"help": "fields of the model's configuration, as JSON"}
    )
    export_embeddings: str | None = field(
        default=None, metadata={"help": "safetensors file to write with the trained item and user vectors"}
    )
    export_users: bool = field(default=True, metadata={"help": "write user vectors to --export_embeddings, too"})
    resume: bool = field(default=False, metadata={"help": "continue from the last checkpoint in --output_dir"})

    def __post_init__(self):
        if self.text_embeddings and self.text_encoder:
            raise ValueError("give --text_embeddings or --text_encoder, not both")
        if self.max_tokens < 1:
            raise ValueError(f"--max_tokens must be at least 1, got {self.max_tokens}")
        self.model_options = json_object("model_options", self.model_options)
        unknown = sorted(set(self.model_options) - set(TextEncoderConfig().to_dict()))
        if unknown:
            raise ValueError(f"--model_options: TextEncoderConfig has no {unknown}")
        with naming("model_options"):
            TextEncoderConfig(**self.model_options)

    @property
    def changed(self) -> dict[str, Any]:
        """Options that differ from their defaults."""
        return changed_options(self, TextEncoderArguments(dataset=""))
