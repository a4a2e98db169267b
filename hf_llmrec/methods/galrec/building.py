"""What a GAL-Rec model is made of before it is trained: a language model, and external embeddings of the items."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from ...data.interactions import RecDataset
from ...data.splits import RecSplit
from ...prompting.training_text import corpus_texts
from ...training.load_backbone import Backbone, load_backbone
from ...training.whole_weight import whole_weight
from .modeling_galrec import GALRecForCausalLM
from .prompt import GALRecPrompt
from .start_defaults import GALREC_MODEL, GALREC_PROMPT

# Above it, softmax over the whole catalogue at every position costs more than the model.
_FULL_SOFTMAX_ITEMS = 5000


def start_prompt(pretrained: bool, changes: GALRecPrompt | Mapping[str, Any] | None) -> GALRecPrompt:
    """What a new model reads.

    Args:
        pretrained: whether its language model's weights were loaded, see `start_defaults.GALREC_PROMPT`.
        changes: fields that replace the defaults, or a whole prompt.

    Raises:
        ValueError: an unknown field, or a value that it cannot have.
    """
    if isinstance(changes, GALRecPrompt):
        return changes
    unknown = sorted(set(changes or {}) - {each.name for each in fields(GALRecPrompt)})
    if unknown:
        raise ValueError(f"prompt: GALRecPrompt has no {unknown}")
    chosen = {name: tuned if pretrained else scratch for name, (tuned, scratch) in GALREC_PROMPT.items()}
    return replace(GALRecPrompt(), **{**chosen, **(changes or {})})


def build_galrec(
    backbone: str | os.PathLike | PreTrainedModel,
    dataset: RecDataset,
    split: RecSplit,
    item_vectors: Mapping[str, np.ndarray],
    prompt: GALRecPrompt | Mapping[str, Any] | None,
    *,
    config: Mapping[str, Any] | None = None,
    pretrained: bool | None = None,
    **options: Any,
) -> tuple[Backbone, GALRecPrompt]:
    """A GAL-Rec with its item vectors around a language model, whose tokenizer is unchanged, and what it reads.

    Args:
        backbone: see `load_backbone`.
        dataset: gives the number of items. split: with it, the texts that a tokenizer is trained on.
        item_vectors: external embeddings by kind, ``text`` or ``collaborative``, float (num_items, d).
        prompt: see `start_prompt`.
        config: fields of `GALRecConfig` that replace those chosen here.
        pretrained: choose as for loaded weights, or as for a model from scratch; default: what the backbone is.
        options: see `load_backbone`.

    Raises:
        ValueError: vectors of another number of items, a value that the configuration cannot have, and those of
            `load_backbone`.
    """
    for kind, vectors in item_vectors.items():
        if len(vectors) != dataset.num_items:
            raise ValueError(f"item_vectors: {len(vectors)} {kind} embeddings for {dataset.num_items} items")
    # Positions are needed for what the prompt may hold, whose defaults depend on the start: both prompts have the same.
    length = start_prompt(True, prompt).max_length
    found = load_backbone(backbone, texts=lambda: corpus_texts(dataset, split), max_length=length, **options)
    if isinstance(found.model, GALRecForCausalLM):
        raise ValueError(f"{found.name} is a saved GAL-Rec, not a backbone: GALRecRecommender.from_pretrained opens it")
    pretrained = found.is_pretrained if pretrained is None else pretrained
    values = {
        "num_items": dataset.num_items,
        "external_sizes": {kind: int(vectors.shape[1]) for kind, vectors in item_vectors.items()},
        "entity_scale": _entity_norm(found.model, found.is_pretrained) / len(item_vectors) ** 0.5,
        "rec_loss": "full_softmax" if dataset.num_items <= _FULL_SOFTMAX_ITEMS else "sampled_softmax",
        **({} if pretrained else GALREC_MODEL),
        **(config or {}),
    }
    model = GALRecForCausalLM.from_backbone(found.model, low_memory=found.is_pretrained, **values)
    model.model.set_item_vectors({kind: torch.as_tensor(vectors) for kind, vectors in item_vectors.items()})
    return replace(found, model=model, is_pretrained=pretrained), start_prompt(pretrained, prompt)


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
