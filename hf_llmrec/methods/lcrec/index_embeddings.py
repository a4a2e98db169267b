"""Initialization of the embedding rows of index tokens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ...data.item_index import ItemIndex
from ...generation.level_head import input_weight
from ...training.gathered_weight import gathered_weight
from .index_tokens import added_tokens
from .tokenization_lcrec import LCRecTokenizer

logger = logging.getLogger(__name__)

METHODS = ("codebook", "mean_noise")
# Share of noise in the variance of a row made of a codeword, so that codes with equal codewords get different rows.
_NOISE_SHARE = 0.05


@dataclass(frozen=True)
class IndexRowOptions:
    """How the embedding rows of index tokens are initialized.

    Args:
        method: ``codebook`` or ``mean_noise``, see `initialize_index_embeddings`.
        seed: seed of the random numbers.
        replace: initialize all rows of a model that was trained with another index, instead of refusing the index.
    """

    method: str = "codebook"
    seed: int = 0
    replace: bool = False


@torch.no_grad()
def initialize_index_embeddings(
    model: PreTrainedModel,
    tokenizer: LCRecTokenizer,
    method: str = "codebook",
    seed: int = 0,
    learned: Collection[str] = (),
) -> None:
    """Resize the embeddings of ``model`` to the tokenizer and initialize the rows of the index tokens.

    Matrices that are smaller than the tokenizer grow; they never shrink (some checkpoints pad them). The default of
    transformers, mean resizing, makes all new rows nearly equal. Here the index rows have, in every dimension, the mean
    and standard deviation of the rows of text tokens. Their directions depend on the method:

    - ``mean_noise``: Gaussian directions, so that codes start unrelated;
    - ``codebook``: the codewords of `ItemIndex.codebooks`, centred per level and projected by one fixed matrix for
      all levels. Similar codewords give similar rows, and the rows of an item add up to its projected embedding.

    Untied output embeddings are initialized in the same way, with the mean and standard deviation of their own rows.
    Other new rows (a padding token) are initialized as in ``mean_noise``. The same model, index and seed give the same
    rows; a second call changes nothing.

    Args:
        model: a model with input embeddings of shape (rows, width), of any dtype.
        tokenizer: the tokenizer with the index.
        method: ``codebook`` or ``mean_noise``.
        seed: seed of the noise and of the projection.
        learned: index tokens whose rows the model has learned, from `learned_index_tokens`; these rows do not change.

    Raises:
        ValueError: unknown method; with ``codebook``, an index without codewords or with codewords that are not finite;
            a matrix that has fewer rows than the tokenizer has tokens after resizing.
    """
    if method not in METHODS:
        raise ValueError(f"index_init must be one of {METHODS}, got {method!r}")
    needed, old_rows = len(tokenizer), grow_embeddings(model, tokenizer)
    head, inputs, vocabulary = model.get_output_embeddings(), input_weight(model), tokenizer.get_vocab()
    matrices: dict[str, torch.nn.Parameter] = {"input": inputs}
    if head is not None and head.weight is not inputs:
        matrices["output"] = head.weight
    index_ids = np.concatenate(tokenizer.level_token_ids)
    learned_ids = [vocabulary[token] for token in tokenizer.item_index.tokens() if token in learned]
    is_drawn = ~np.isin(index_ids, [row for row in learned_ids if row < old_rows])
    other_new = np.setdiff1d(np.arange(old_rows, needed), index_ids)
    if not is_drawn.any() and not len(other_new):
        logger.info("all %d index rows stay as they were learned", len(index_ids))
        return
    # Only rows of text tokens count. Padding rows are zeros or new, and rows beyond the vocabulary were never trained.
    unlike_text = np.concatenate([index_ids, other_new, [tokenizer.pad_token_id]])
    text_ids = np.setdiff1d(np.fromiter(vocabulary.values(), dtype=np.int64), unlike_text)
    for name, parameter in matrices.items():
        with gathered_weight(parameter) as weight:
            if weight.shape[0] < needed:
                raise ValueError(
                    f"the {name} embeddings have {weight.shape[0]} rows, the tokenizer has {needed} tokens, of which "
                    f"{len(index_ids)} are index tokens: {type(model).__name__} did not resize them"
                )
            directions = np.zeros((0, weight.shape[1]), dtype=np.float32)
            if is_drawn.any():  # otherwise no codewords are needed
                directions = index_directions(tokenizer, weight.shape[1], method, seed)[is_drawn]
            noise = np.random.default_rng([seed, 2]).standard_normal((len(other_new), weight.shape[1]))
            rows = np.concatenate([directions, noise.astype(np.float32)])
            text_rows = weight[torch.from_numpy(text_ids).to(weight.device)].float()
            std, mean = torch.std_mean(text_rows, dim=0, correction=0)
            ids = torch.from_numpy(np.concatenate([index_ids[is_drawn], other_new])).to(weight.device)
            weight[ids] = (mean + std * torch.from_numpy(rows).to(weight.device)).to(weight.dtype)
    logger.info(
        "started %d index rows with %s (%s embeddings); %d stay as they were learned",
        is_drawn.sum(),
        method,
        " and ".join(sorted(matrices)),
        len(index_ids) - is_drawn.sum(),
    )


def learned_index_tokens(
    base: PreTrainedTokenizerBase,
    trained_index: Callable[[], ItemIndex | None],
    index: ItemIndex,
    name: str,
    *,
    replace: bool = False,
) -> set[str]:
    """Find the index tokens whose rows a model has learned and that have the same meaning in ``index``.

    Items may have been added or removed, but items in both indices must have the same codes.

    Args:
        base: the model's tokenizer; the model has a row for each of its index tokens.
        trained_index: returns the index that the model was trained with; called if ``base`` has index tokens. If it
            returns ``None``, that index is taken to be ``index``, with a warning.
        index: the index to train with.
        name: name of the model, for messages.
        replace: if the model was trained with another index, keep no rows instead of raising an error.

    Raises:
        ValueError: the model was trained with another index, in which its index tokens mean other items.
    """
    tokens = set(index.tokens()) & added_tokens(base)
    if not tokens:
        return set()
    previous = trained_index()
    if previous is None:
        logger.warning(
            "%s has rows for %d index tokens, but no item_index.json: they stay as they are, on trust that they were "
            "learned with this index",
            name,
            len(tokens),
        )
        return tokens
    codes = {item: tuple(row) for item, row in zip(previous.item_ids, previous.codes.tolist(), strict=True)}
    shared = [(item, row) for item, row in zip(index.item_ids, index.codes.tolist(), strict=True) if item in codes]
    moved = [item for item, row in shared if codes[item] != tuple(row)]
    if shared and not moved:
        return tokens & set(previous.tokens())
    what = (
        f"{len(moved)} of {len(shared)} items have other codes, such as {moved[0]!r}" if moved else "no item in common"
    )
    if not replace:
        raise ValueError(
            f"--index is not the index that {name} was trained with ({what}): go on with --index {name} (or with items "
            "added to that one), or draw all index rows anew with --replace_index True"
        )
    logger.warning("%s was trained with another index (%s): all index rows are drawn anew", name, what)
    return set()


def grow_embeddings(model: PreTrainedModel, tokenizer: LCRecTokenizer) -> int:
    """Resize the embeddings of ``model`` if they have fewer rows than the tokenizer has tokens.

    Args:
        model: the model, changed in place.
        tokenizer: the tokenizer with the index.

    Returns:
        the number of rows before.
    """
    with gathered_weight(input_weight(model)) as weight:
        old_rows = weight.shape[0]
    if old_rows < len(tokenizer):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return old_rows


def index_directions(tokenizer: LCRecTokenizer, width: int, method: str, seed: int) -> np.ndarray:
    """Compute rows with mean 0 and mean square 1, which are not yet scaled to a model.

    Args:
        tokenizer: the tokenizer with the index.
        width: number of columns.
        method: ``codebook`` or ``mean_noise``, see `initialize_index_embeddings`.
        seed: seed of the noise and of the projection.

    Returns:
        float32 (index tokens, width), in the order of ``np.concatenate(tokenizer.level_token_ids)``.
    """
    index = tokenizer.item_index
    noise = np.random.default_rng([seed, 0]).standard_normal((sum(index.codebook_sizes), width))
    if method == "mean_noise":
        return noise.astype(np.float32)
    if index.codebooks is None:
        raise ValueError(
            "index_init='codebook' needs the codewords of the index, which this one does not have (it was read from "
            "`.index.json` or from a tokenizer's folder): build it with build-index, or use index_init='mean_noise'"
        )
    projections: dict[int, np.ndarray] = {}
    parts = []
    for level, book in enumerate(index.codebooks):
        if not np.isfinite(book).all():
            raise ValueError(f"the codewords of level {level} are not finite")
        centred = book.astype(np.float64) - book.mean(axis=0, dtype=np.float64)
        if book.shape[1] not in projections:
            projections[book.shape[1]] = _projection(index.codebooks, book.shape[1], width, seed)
        projected = centred @ projections[book.shape[1]]
        size = np.sqrt(np.mean(projected**2))
        if size < 1e-12:  # a single code, or equal codewords: only noise gives directions
            projected, size = np.random.default_rng([seed, 3, level]).standard_normal(projected.shape), 1.0
        parts.append(projected / size)
    rows = np.sqrt(1 - _NOISE_SHARE) * np.concatenate(parts) + np.sqrt(_NOISE_SHARE) * noise
    return rows.astype(np.float32)


def _projection(codebooks: list[np.ndarray], dim: int, width: int, seed: int) -> np.ndarray:
    """Projection float64 (dim, width) that preserves distances: exactly if width >= dim, else in principal directions.

    In both cases a random rotation distributes the variance over all columns.
    """
    rng = np.random.default_rng([seed, 1])
    if dim <= width:
        return np.linalg.qr(rng.standard_normal((width, dim)))[0].T
    centred = [book - book.mean(axis=0, dtype=np.float64) for book in codebooks if book.shape[1] == dim]
    stacked = np.concatenate(centred).astype(np.float64)
    principal = np.linalg.eigh(stacked.T @ stacked)[1][:, ::-1][:, :width]
    return principal @ np.linalg.qr(rng.standard_normal((width, width)))[0]
