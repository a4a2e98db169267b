"""Building a GAL-Rec from a language model and external embeddings of the items, before it is trained."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, cast

import numpy as np
import torch
from transformers import PreTrainedModel

from ...data.interactions import RecDataset
from ...data.splits import RecSplit
from ...generation.level_head import input_weight
from ...indexing.text_embeddings import embed_items
from ...prompting.training_text import corpus_texts
from ...training.gathered_weight import gathered_weight
from ...training.load_backbone import SOURCE_OPTIONS, Backbone, load_backbone
from .continuing import SavedGALRec
from .modeling_galrec import GALRecForCausalLM
from .prompt import GALRecPrompt
from .start_defaults import GALREC_MODEL, GALREC_PROMPT

logger = logging.getLogger("hf_llmrec")
# With more items, a softmax over the full catalogue at every position costs more than the model.
_FULL_SOFTMAX_ITEMS = 5000


def start_prompt(pretrained: bool, changes: GALRecPrompt | Mapping[str, Any] | None) -> GALRecPrompt:
    """Prompt of a new model.

    Args:
        pretrained: whether the weights of its language model were loaded; selects the defaults, see
            `start_defaults.GALREC_PROMPT`.
        changes: fields of `GALRecPrompt` that replace the defaults, or a prompt that is used as it is.

    Returns:
        The prompt, complete.

    Raises:
        ValueError: an unknown field, or an invalid value.
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
    item_vectors: Mapping[str, np.ndarray] | None,
    prompt: GALRecPrompt | Mapping[str, Any] | None,
    *,
    config: Mapping[str, Any] | None = None,
    pretrained: bool | None = None,
    **options: Any,
) -> tuple[Backbone, GALRecPrompt]:
    """Build a GAL-Rec with its item vectors around a language model, or open a saved GAL-Rec for further training.

    Args:
        backbone: a model, its Hub id or folder, the size of one from scratch, see `load_backbone`, or the folder or Hub
            id of a saved GAL-Rec.
        dataset: gives the number of items, and the texts that the tokenizer of a model from scratch is trained on.
        split: its training interactions are part of these texts.
        item_vectors: external embeddings by kind, ``text`` or ``collaborative``, float (num_items, d); default: those
            of the texts alone. A saved GAL-Rec has its own, which these must equal.
        prompt: fields of `GALRecPrompt` that replace the defaults, or a complete prompt, see `start_prompt`; a saved
            GAL-Rec has its own, which this must equal.
        config: fields of `GALRecConfig` that replace those chosen here; of a saved GAL-Rec only those of training.
        pretrained: whether to choose defaults as for loaded weights, or as for a model from scratch; default: by the
            backbone. A saved GAL-Rec always counts as loaded.
        options: other parameters of `load_backbone`.

    Returns:
        The model with its tokenizer, which stays unchanged, and the complete prompt.

    Raises:
        ValueError: vectors of another number of items, an invalid value of the configuration, a saved GAL-Rec with
            other items, vectors or settings, one that is passed as a model or with ``num_layers``, and the errors of
            `load_backbone`.
    """
    for kind, vectors in (item_vectors or {}).items():
        if len(vectors) != dataset.num_items:
            raise ValueError(f"item_vectors: {len(vectors)} {kind} embeddings for {dataset.num_items} items")
    source = {name: options[name] for name in SOURCE_OPTIONS if options.get(name) is not None}
    saved = SavedGALRec.find(backbone, **source)
    if saved is not None:
        if options.get("num_layers") is not None:
            raise ValueError(f"num_layers: {saved.name} is a saved GAL-Rec, whose layers all stay; leave it out")
        saved.check_catalog(dataset)
        options |= saved.check_settings(prompt, config)
    # The backbone needs positions for the longest prompt. The default prompts of both starts have the same max_length.
    length = (start_prompt(True, prompt) if saved is None else saved.prompt).max_length
    base = load_backbone(backbone, texts=lambda: corpus_texts(dataset, split), max_length=length, **options)
    if saved is not None:
        if item_vectors and base.model.device.type != "meta":
            saved.check_item_vectors(cast(GALRecForCausalLM, base.model), item_vectors)
        logger.info("going on from %s: its item vectors, heads and layers stay as learned", saved.name)
        return base, saved.prompt
    if isinstance(base.model, GALRecForCausalLM):
        raise ValueError(f"{base.name} is a GAL-Rec, not a backbone: pass its folder, or train its recommender")
    pretrained = base.is_pretrained if pretrained is None else pretrained
    model = _around(
        base, dataset, {"text": embed_items(dataset)} if item_vectors is None else item_vectors, pretrained, config
    )
    return replace(base, model=model, is_pretrained=pretrained), start_prompt(pretrained, prompt)


def _around(
    base: Backbone,
    dataset: RecDataset,
    item_vectors: Mapping[str, np.ndarray],
    pretrained: bool,
    config: Mapping[str, Any] | None,
) -> GALRecForCausalLM:
    """A new GAL-Rec around a language model."""
    values = {
        "num_items": dataset.num_items,
        "external_sizes": {kind: int(vectors.shape[1]) for kind, vectors in item_vectors.items()},
        "entity_scale": _entity_norm(base.model, base.is_pretrained) / len(item_vectors) ** 0.5,
        "rec_loss": "full_softmax" if dataset.num_items <= _FULL_SOFTMAX_ITEMS else "sampled_softmax",
        **({} if pretrained else GALREC_MODEL),
        **(config or {}),
    }
    model = GALRecForCausalLM.from_backbone(base.model, low_memory=base.is_pretrained, **values)
    model.model.set_item_vectors(
        {kind: torch.as_tensor(np.ascontiguousarray(vectors)) for kind, vectors in item_vectors.items()}
    )
    return model


def _entity_norm(backbone: PreTrainedModel, pretrained: bool) -> float:
    """Initial norm of the input embedding of an entity.

    For a pretrained backbone, entity tokens should look like its own tokens. A backbone from scratch has no such
    expectations: there, components of about 1 let the last item dominate its own state, as in SASRec, and training
    starts from recommending items like the last one instead of noise.
    """
    if not pretrained or backbone.device.type == "meta":
        return backbone.config.get_text_config().hidden_size ** 0.5
    with gathered_weight(input_weight(backbone)) as weight:
        return float(weight.detach()[:4096].float().norm(dim=-1).mean()) or 1.0
