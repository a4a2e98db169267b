"""What GAL-Rec is built of: a backbone, and external embeddings of text and of a collaborative teacher."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from trl import ModelConfig

from ..data.embedding_files import load_item_embeddings
from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..indexing.text_embeddings import embed_items
from ..methods.galrec.configuration_galrec import GALRecConfig
from ..methods.galrec.prompt import GALRecPrompt
from ..methods.galrec.recommender import GALRecRecommender
from ..methods.galrec.trainer_config import GALRecTrainingConfig
from ..methods.sasrec.configuration_sasrec import SASRecConfig
from .backbones import BackboneArguments
from .list_options import json_object, naming
from .teacher import train_teacher

logger = logging.getLogger("hf_llmrec")
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

    def train_teacher(self, dataset: RecDataset, output_dir: str) -> Path:
        """Train SASRec as the options say; returns the file of its item embeddings."""
        beside = Path(output_dir).resolve()
        folder = Path(self.teacher_dir) if self.teacher_dir else beside.with_name(f"{beside.name}-teacher")
        reuse = {"resume": self.resume, "other_data": self.other_data}
        return train_teacher(self, dataset, folder, self.teacher_options, **reuse)


def external_item_vectors(arguments: GALRecArguments, dataset: RecDataset, output_dir: str) -> dict[str, torch.Tensor]:
    """External embeddings of the items, per kind float (num_items, size)."""
    vectors, split = {}, dataset.split(arguments.protocol)
    if "text" in EXTERNAL[arguments.external]:
        if arguments.text_embeddings:
            vectors["text"] = load_item_embeddings(
                arguments.text_embeddings, dataset, split, other_data=arguments.other_data
            )
        else:
            vectors["text"] = embed_items(dataset, arguments.text_encoder)
    if "collaborative" in EXTERNAL[arguments.external]:
        if arguments.dry_run and not arguments.external_embeddings:  # of the teacher's size, which is not trained
            vectors["collaborative"] = torch.zeros(dataset.num_items, SASRecConfig().hidden_size)
        else:
            file = arguments.external_embeddings or arguments.train_teacher(dataset, output_dir)
            vectors["collaborative"] = load_item_embeddings(file, dataset, split, other_data=arguments.other_data)
    return {kind: torch.as_tensor(value) for kind, value in vectors.items()}


def galrec_from_backbone(
    arguments: GALRecArguments,
    model_config: ModelConfig,
    training: GALRecTrainingConfig,
    dataset: RecDataset,
    split: RecSplit,
) -> GALRecRecommender:
    """A GAL-Rec to be trained, as the options say."""
    vectors = external_item_vectors(arguments, dataset, training.output_dir)
    with naming("model_options"):  # before anything is loaded: whether the values are such
        GALRecConfig(**arguments.model_options)
    return GALRecRecommender.from_backbone(
        arguments.source(model_config),
        dataset=dataset,
        item_vectors=vectors,
        split=split,
        prompt=arguments.prompt(training),
        config=arguments.model_options,
        include_graph=arguments.include_graph,
        pretrained=training.pretrained,
        **arguments.loading(model_config, training),
    )
