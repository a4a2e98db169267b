"""What an LC-Rec model is made of before it is trained: a language model whose vocabulary has the index tokens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
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
from ...training.load_backbone import Backbone, load_backbone
from .index_embeddings import grow_embeddings, initialize_index_embeddings, learned_index_tokens
from .prompt import LCRecPrompt
from .tokenization_lcrec import LCRecTokenizer

# What a model reads and how it is decoded, where nobody chose.
DEFAULT_PROMPT = LCRecPrompt(packed_prefix="Items this customer chose, oldest first: ", max_length=1024)
DECODING = {"num_beams": 20, "normalize": "level"}


def own_settings(backbone: str | os.PathLike | PreTrainedModel, **source: Any) -> dict[str, Any]:
    """Settings of a saved LC-Rec: ``prompt``, ``num_beams``, ``normalize``; the defaults of any other model.

    Args:
        backbone: see `load_backbone`; only a folder or Hub id has settings.
        source: ``revision`` and others of `load_settings`.
    """
    found: dict[str, Any] = {}
    if not isinstance(backbone, PreTrainedModel) and str(backbone) not in BACKBONES:
        with suppress(FileNotFoundError):  # no recommender
            found = load_settings(backbone, **source)
    if found.get("method") != "lcrec":
        return {"prompt": DEFAULT_PROMPT, **DECODING}
    return {"prompt": LCRecPrompt.from_dict(found["prompt"]), **{key: found[key] for key in DECODING}}


def check_usable_index(name: str, index: ItemIndex, dataset: RecDataset, split: RecSplit, *, other_data: bool) -> None:
    """Refuse an index that names no single items, or of other data.

    Args:
        name: of the index, for errors.
        index: which it is.
        dataset, split: what a model is to be trained on.
        other_data: go on although interactions or split differ.

    Raises:
        ValueError: says what is wrong with the index.
    """
    if not index.is_unique:
        raise ValueError(
            f"{name}: {index.collisions()} items share their codes with another, so that generating codes does not "
            "name an item: build it with build-index"
        )
    check_index(name, index, dataset, split, other_data=other_data)


def trained_index(base: PreTrainedTokenizerBase, name: str, **source: Any) -> ItemIndex | None:
    """The index that a given model was trained with; ``None`` where its folder does not have it."""
    if isinstance(base, LCRecTokenizer):
        return base.item_index
    try:  # of some model types transformers loads the stock tokenizer
        return ItemIndex.from_pretrained(name, **source)
    except FileNotFoundError:
        return None


def build_lcrec(
    backbone: str | os.PathLike | PreTrainedModel,
    index: ItemIndex,
    dataset: RecDataset,
    split: RecSplit,
    prompt: LCRecPrompt,
    *,
    index_init: str = "codebook",
    replace_index: bool = False,
    seed: int = 0,
    has_weights: bool = True,
    **options: Any,
) -> tuple[Backbone, LCRecPrompt]:
    """A language model with the rows of the index tokens, its extended tokenizer, and the prompt with its chat frame.

    Args:
        backbone: see `load_backbone`.
        index: what its tokens name.
        dataset, split: give the titles, and the texts that a tokenizer is trained on.
        prompt: what the model is to read.
        index_init, seed: see `initialize_index_embeddings`.
        replace_index: see `learned_index_tokens`.
        has_weights, options: see `load_backbone`.

    Raises:
        ValueError: see those functions.
    """
    learned: set[str] = set()

    def extend(base: PreTrainedTokenizerBase) -> LCRecTokenizer:
        name = base.name_or_path if isinstance(backbone, PreTrainedModel) else str(backbone)
        find = partial(trained_index, base, name, revision=options.get("revision"))
        learned.update(learned_index_tokens(base, find, index, name, replace=replace_index))
        return LCRecTokenizer.from_base(base, index, dataset.titles)

    found = load_backbone(
        backbone,
        texts=lambda: corpus_texts(dataset, split),
        max_length=prompt.max_length or DEFAULT_PROMPT.max_length,
        extend=extend,
        has_weights=has_weights,
        **options,
    )
    assert isinstance(found.tokenizer, LCRecTokenizer)
    if has_weights:
        initialize_index_embeddings(found.model, found.tokenizer, index_init, seed, learned)
    else:
        grow_embeddings(found.model, found.tokenizer)
    return found, prompt.keep_frame(found.tokenizer)


def change_prompt(prompt: LCRecPrompt, changes: LCRecPrompt | Mapping[str, Any] | None) -> LCRecPrompt:
    """``prompt`` with other fields, or another one.

    Args:
        prompt: what there is.
        changes: fields that replace its own, or a whole prompt; ``None``: nothing changes.

    Raises:
        ValueError: an unknown field, or a value that it cannot have.
    """
    if changes is None or isinstance(changes, LCRecPrompt):
        return changes or prompt
    unknown = sorted(set(changes) - set(prompt.to_dict()))
    if unknown:
        raise ValueError(f"prompt: LCRecPrompt has no {unknown}")
    changed = replace(prompt, **changes)
    # A chat template that is asked for anew is rendered anew.
    return replace(changed, chat_frame=None) if changed.chat and not prompt.chat else changed
