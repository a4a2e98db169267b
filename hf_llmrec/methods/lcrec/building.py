"""Builds the parts of an untrained LC-Rec: a language model whose vocabulary has the index tokens, and its prompt."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ...data.interactions import RecDataset
from ...data.item_index import ItemIndex
from ...data.recommender_folder import load_settings
from ...data.same_data import check_index
from ...data.splits import RecSplit
from ...prompting.training_text import corpus_texts
from ...training.backbones import BACKBONES
from ...training.load_backbone import load_backbone
from .index_embeddings import IndexRowOptions, grow_embeddings, initialize_index_embeddings, learned_index_tokens
from .prompt import LCRecPrompt
from .tokenization_lcrec import LCRecTokenizer

# Defaults of the prompt and of decoding.
DEFAULT_MAX_LENGTH = 1024
DEFAULT_PROMPT = LCRecPrompt(packed_prefix="Items this customer chose, oldest first: ", max_length=DEFAULT_MAX_LENGTH)
DECODING: dict[str, Any] = {"num_beams": 20, "normalize": "level", "repeat_bias": 0.0}


@dataclass(frozen=True)
class LCRecParts:
    """The parts of an untrained LC-Rec.

    Attributes:
        model: a causal language model with a row for every token of the tokenizer.
        tokenizer: its tokenizer, extended by the tokens of the index.
        prompt: the form of the prompts, with the chat frame rendered.
        is_pretrained: whether the weights of the model were loaded instead of drawn at random.
    """

    model: PreTrainedModel
    tokenizer: LCRecTokenizer
    prompt: LCRecPrompt
    is_pretrained: bool


def own_settings(backbone: str | os.PathLike | PreTrainedModel, **source: Any) -> dict[str, Any]:
    """Read the settings of a saved LC-Rec: its ``prompt`` and those of `DECODING`; the defaults for other models.

    Args:
        backbone: folder or Hub id; a model and the names of models from scratch have no settings.
        source: ``revision`` and the other options of `load_settings`.
    """
    settings: dict[str, Any] = {}
    if not isinstance(backbone, PreTrainedModel) and str(backbone) not in BACKBONES:
        with suppress(FileNotFoundError):  # no recommender
            settings = load_settings(backbone, **source)
    if settings.get("method") != "lcrec":
        return {"prompt": DEFAULT_PROMPT, **DECODING}
    return {"prompt": LCRecPrompt.from_dict(settings["prompt"]), **decoding_settings(settings)}


def decoding_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """How a saved LC-Rec is asked, by name in `DECODING`.

    Args:
        settings: of its folder; those of version 0.1 have no ``repeat_bias``.
    """
    return {name: settings.get(name, default) for name, default in DECODING.items()}


def check_usable_index(name: str, index: ItemIndex, dataset: RecDataset, split: RecSplit, *, other_data: bool) -> None:
    """Raise an error for an index in which items share their codes, or that was fitted on other data.

    Args:
        name: name of the index, for messages.
        index: the index.
        dataset: the dataset of the training.
        split: the split of the training.
        other_data: accept an index that was fitted on other interactions or another split.

    Raises:
        ValueError: describes the problem of the index.
    """
    if not index.is_unique:
        raise ValueError(
            f"{name}: {index.collisions()} items share their codes with another, so that generating codes does not "
            "name an item: build it with build-index"
        )
    check_index(name, index, dataset, split, other_data=other_data)


def trained_index(base: PreTrainedTokenizerBase, name: str, **source: Any) -> ItemIndex | None:
    """Load the index that a model was trained with.

    Args:
        base: tokenizer of the model.
        name: folder or Hub id of the model.
        source: ``revision`` and the other options of `ItemIndex.from_pretrained`.

    Returns:
        the index; ``None`` if the folder has none.
    """
    if isinstance(base, LCRecTokenizer):
        return base.item_index
    try:  # for some model types transformers loads the stock tokenizer
        return ItemIndex.from_pretrained(name, **source)
    except FileNotFoundError:
        return None


def build_lcrec(
    backbone: str | os.PathLike | PreTrainedModel,
    index: ItemIndex,
    dataset: RecDataset,
    split: RecSplit,
    prompt: LCRecPrompt,
    rows: IndexRowOptions,
    *,
    has_weights: bool = True,
    **options: Any,
) -> LCRecParts:
    """Load or create a language model, extend its tokenizer by the index and initialize the rows of the index tokens.

    Args:
        backbone: Hub id, folder, a model, or ``tiny`` or ``small`` for a model from scratch, see `load_backbone`.
        index: the index whose tokens are added.
        dataset: gives the titles, and the texts on which the tokenizer of a model from scratch is trained.
        split: only texts about its training interactions are used.
        prompt: the form of the prompts.
        rows: how the rows of the index tokens are initialized.
        has_weights: ``False``: only the configuration of the model is read, and its parameters are on the device
            ``meta``.
        options: the other options of `load_backbone`.

    Raises:
        ValueError: a model that cannot be trained, that was trained with another index, or whose vocabulary cannot be
            extended; an index without the codewords that ``rows`` needs.
    """
    learned: set[str] = set()

    def extend(base: PreTrainedTokenizerBase) -> LCRecTokenizer:
        name = base.name_or_path if isinstance(backbone, PreTrainedModel) else str(backbone)
        find = partial(trained_index, base, name, revision=options.get("revision"))
        learned.update(learned_index_tokens(base, find, index, name, replace=rows.replace))
        return LCRecTokenizer.from_base(base, index, dataset.titles)

    loaded = load_backbone(
        backbone,
        texts=lambda: corpus_texts(dataset, split),
        max_length=prompt.max_length or DEFAULT_MAX_LENGTH,
        extend=extend,
        has_weights=has_weights,
        **options,
    )
    model, tokenizer = loaded.model, loaded.tokenizer
    assert isinstance(tokenizer, LCRecTokenizer)  # `extend` has made it
    if has_weights:
        initialize_index_embeddings(model, tokenizer, rows.method, rows.seed, learned)
    else:
        grow_embeddings(model, tokenizer)
    return LCRecParts(model, tokenizer, prompt.keep_frame(tokenizer), loaded.is_pretrained)


def change_prompt(prompt: LCRecPrompt, changes: LCRecPrompt | Mapping[str, Any] | None) -> LCRecPrompt:
    """Return a prompt with some fields changed.

    Args:
        prompt: the prompt before.
        changes: fields that replace those of ``prompt``, or a complete prompt; ``None``: nothing changes.

    Raises:
        ValueError: an unknown field, or an invalid value.
    """
    if changes is None or isinstance(changes, LCRecPrompt):
        return changes or prompt
    unknown = sorted(set(changes) - set(prompt.to_dict()))
    if unknown:
        raise ValueError(f"prompt: LCRecPrompt has no {unknown}")
    changed = replace(prompt, **changes)
    # If chat is switched on, the tokenizer's chat template is rendered anew.
    return replace(changed, chat_frame=None) if changed.chat and not prompt.chat else changed
