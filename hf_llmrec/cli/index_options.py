"""Options of ``build-index``."""

from __future__ import annotations

from dataclasses import dataclass, field

from .json_options import JsonObject, json_object
from .options import SameDataArguments


@dataclass
class IndexArguments(SameDataArguments):
    """What to index, and how. The other parameters are those of [`SameDataArguments`].

    Args:
        output_dir: folder for the index, its report and plots. Required.
        indexer: ``kmeans`` (residual k-means) or ``rqvae`` (the paper's, trained here and saved beside the index).
        text_embeddings: safetensors file with text embeddings, float (items, d), in the dataset's item order; default:
            ``text_encoder``.
        text_encoder: sentence-transformers model or causal LM that embeds the items' texts; default: TF-IDF and
            truncated SVD.
        collaborative: safetensors file with collaborative embeddings, float (items, d), to index together with the
            texts, such as that of ``train sasrec --export_embeddings``; default: texts only.
        levels: codes per item.
        codebook_size: codes per level; default: from the number of items, at most 256.
        indexer_options: further options of the indexer, as JSON: ``iterations``, ``collaborative_weight`` and
            ``whitened_dimensions`` of k-means; ``steps``, ``batch_size``, ``learning_rate`` and ``alignment_weight`` of
            the RQ-VAE.
        seed: random seed of initialisation and training order.
        push_to_hub: publish the index, and the RQ-VAE, at the end.
        hub_model_id: repository to push to; default: the name of ``output_dir``.
        hub_token: access token; default: that of ``hf auth login``.
        hub_private_repo: create a private repository; default: public, unless the organisation's default is private.
        hub_revision: branch to push to; default: the main branch.
    """

    output_dir: str = field(default="", metadata={"help": "folder for the index, its report and plots"})
    indexer: str = field(default="kmeans", metadata={"help": "`kmeans` (residual k-means) or `rqvae`"})
    text_embeddings: str | None = field(default=None, metadata={"help": "safetensors with (items, d) embeddings"})
    text_encoder: str | None = field(
        default=None, metadata={"help": "sentence-transformers model or causal LM (default: TF-IDF + SVD)"}
    )
    collaborative: str | None = field(
        default=None, metadata={"help": "safetensors with collaborative (items, d) embeddings, indexed with the texts"}
    )
    levels: int = field(default=4, metadata={"help": "codes per item"})
    codebook_size: int | None = field(default=None, metadata={"help": "codes per level (default: from the catalogue)"})
    indexer_options: JsonObject = field(
        default_factory=dict,
        metadata={"help": "options of the indexer, as JSON: `iterations` (kmeans); `steps`, `batch_size`... (rqvae)"},
    )
    seed: int = field(default=0, metadata={"help": "random seed"})
    push_to_hub: bool = field(default=False, metadata={"help": "publish the index, and the RQ-VAE, at the end"})
    hub_model_id: str | None = field(
        default=None, metadata={"help": "repository to push to (default: name of --output_dir)"}
    )
    hub_token: str | None = field(default=None, metadata={"help": "access token (default: that of `hf auth login`)"})
    hub_private_repo: bool | None = field(default=None, metadata={"help": "make a private repository"})
    hub_revision: str | None = field(default=None, metadata={"help": "branch to push to"})

    def __post_init__(self):
        if not self.output_dir:
            raise ValueError("--output_dir is required")
        self.indexer_options = json_object("indexer_options", self.indexer_options)
        for name, value in self.indexer_options.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"--indexer_options: {name} must be a number, got {value!r}")
        if self.text_embeddings and self.text_encoder:
            raise ValueError("give --text_embeddings or --text_encoder, not both")
