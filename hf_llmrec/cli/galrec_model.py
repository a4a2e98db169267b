"""What GAL-Rec is built of: a backbone, and external embeddings of text and of a collaborative teacher."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D
from trl import ModelConfig, get_peft_config

from ..data.embedding_files import load_item_embeddings
from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..indexing.text_embeddings import embed_items
from ..methods.galrec.configuration_galrec import GALRecConfig
from ..methods.galrec.modeling_galrec import GALRecForCausalLM
from ..methods.galrec.start_defaults import GALREC_MODEL
from ..methods.galrec.trainer_config import GALRecTrainingConfig
from ..methods.sasrec.configuration_sasrec import SASRecConfig
from ..prompting.training_text import corpus_texts
from ..training.whole_weight import whole_weight
from .backbones import BackboneArguments, load_backbone
from .list_options import json_object, naming
from .teacher import train_teacher

logger = logging.getLogger("hf_llmrec")
EXTERNAL = {"text": ("text",), "collaborative": ("collaborative",), "both": ("text", "collaborative")}
# Layers of our own, which adapters do not cover: they are trained whole.
OWN_LAYERS = (
    *("item_mapping", "user_mapping", "item_residual", "special_embeddings", "entity_scale"),
    *("rec_gate", "item_scorer"),
)
# Above it, softmax over the whole catalogue at every position costs more than the model.
_FULL_SOFTMAX_ITEMS = 5000


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


def build_model(
    arguments: GALRecArguments,
    model_config: ModelConfig,
    training: GALRecTrainingConfig,
    dataset: RecDataset,
    split: RecSplit,
    vectors: dict[str, torch.Tensor],
) -> tuple[GALRecForCausalLM, PreTrainedTokenizerBase]:
    """(model with its item vectors, tokenizer of its backbone); ``training`` knows whether it starts from scratch."""
    backbone, tokenizer = load_backbone(arguments, model_config, training, texts=lambda: corpus_texts(dataset, split))
    fields = {
        "num_items": dataset.num_items,
        "external_sizes": {kind: int(value.shape[1]) for kind, value in vectors.items()},
        "entity_scale": _entity_norm(backbone, bool(model_config.model_name_or_path)) / len(vectors) ** 0.5,
        "rec_loss": "full_softmax" if dataset.num_items <= _FULL_SOFTMAX_ITEMS else "sampled_softmax",
        **({} if training.pretrained else GALREC_MODEL),
        **arguments.model_options,
    }
    with naming("model_options"):
        model = GALRecForCausalLM.from_backbone(backbone, low_memory=bool(model_config.model_name_or_path), **fields)
    model.model.set_item_vectors(vectors)
    return model, tokenizer


def _entity_norm(backbone: PreTrainedModel, pretrained: bool) -> float:
    """How long the input embedding of an entity should be.

    To a pretrained backbone entity tokens should look like its own tokens. One that is trained from scratch has no such
    habits: there values of about 1 make the last item rule its own state, as in SASRec, and recommending begins with
    "like the last one" instead of with noise.
    """
    if not pretrained or backbone.device.type == "meta":
        return backbone.config.get_text_config().hidden_size ** 0.5
    with whole_weight(backbone.get_input_embeddings().weight) as weight:
        return float(weight.detach()[:4096].float().norm(dim=-1).mean()) or 1.0


def peft_config(model_config: ModelConfig, model: GALRecForCausalLM) -> LoraConfig | None:
    """LoRA options: adapters in the language model, our own layers trained whole."""
    config = get_peft_config(model_config)
    if config is None:
        return None
    if model_config.lora_target_modules is None:
        inside = model.model.language_model.named_modules()
        names = sorted({name.rpartition(".")[2] for name, module in inside if isinstance(module, (nn.Linear, Conv1D))})
        config.target_modules = rf".*\.language_model\..*\.({'|'.join(names)})"
    modules = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    own = [name for name in OWN_LAYERS if name in modules]
    config.modules_to_save = [*(config.modules_to_save or []), *own, "projection"]
    return config
