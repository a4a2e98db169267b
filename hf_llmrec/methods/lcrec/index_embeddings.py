"""How the embedding rows of index tokens begin."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ...data.item_index import ItemIndex
from ...training.whole_weight import whole_weight
from .tokenization_lcrec import LCRecTokenizer

logger = logging.getLogger(__name__)

METHODS = ("codebook", "mean_noise")
# Share of a codeword row's variance that is noise: codes that were never used, or equal, must not stay equal.
_NOISE_SHARE = 0.05


@torch.no_grad()
def initialize_index_embeddings(
    model: PreTrainedModel,
    tokenizer: LCRecTokenizer,
    method: str = "codebook",
    seed: int = 0,
    learned: Collection[str] = (),
) -> None:
    """Give ``model`` a row for every token and start the index tokens' rows, input and output, usefully.

    The matrices grow to the tokenizer's size where they are smaller and never shrink (some checkpoints pad them). The
    default of transformers, mean resizing, makes all new rows nearly equal. Here each index row has mean and spread
    of the rows of text tokens, in every dimension, and

    - ``mean_noise``: Gaussian directions, so codes start unrelated;
    - ``codebook``: the codewords of `ItemIndex.codebooks`, centred per level and projected by one fixed matrix for
      all levels, so codes whose codewords are near start near, and an item's rows add up to its projected embedding.

    Untied output rows are started the same way from the output matrix's own mean and spread. Other new rows (a
    padding token) start as in ``mean_noise``. The same model, index and seed give the same rows; calling it again
    changes nothing.

    Args:
        model: with input embeddings of shape (rows, width); any dtype.
        tokenizer: has the index and its token ids.
        method: ``codebook`` or ``mean_noise``.
        seed: of the noise and of the projection.
        learned: index tokens whose rows the model has learned; they stay as they are. See `learned_index_tokens`.

    Raises:
        ValueError: unknown method; under ``codebook`` rows to draw of an index without codewords, or with such that
            are not finite; a matrix that has fewer rows than the tokenizer has tokens after resizing.
    """
    if method not in METHODS:
        raise ValueError(f"index_init must be one of {METHODS}, got {method!r}")
    needed, old_rows = len(tokenizer), grow_embeddings(model, tokenizer)
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    matrices = {"input": embeddings.weight}
    if head is not None and head.weight is not embeddings.weight:
        matrices["output"] = head.weight
    index_ids = np.concatenate(tokenizer.level_token_ids)
    kept = tokenizer.convert_tokens_to_ids([token for token in tokenizer.item_index.tokens() if token in learned])
    is_drawn = ~np.isin(index_ids, [row for row in kept if row < old_rows])
    other_new = np.setdiff1d(np.arange(old_rows, needed), index_ids)
    if not is_drawn.any() and not len(other_new):
        logger.info("all %d index rows stay as they were learned", len(index_ids))
        return
    # Padding rows are zeros, or new: they say nothing about text. Rows beyond the vocabulary were never trained.
    unlike_text = np.concatenate([index_ids, other_new, [tokenizer.pad_token_id]])
    known = np.setdiff1d(np.fromiter(tokenizer.get_vocab().values(), dtype=np.int64), unlike_text)
    for name, parameter in matrices.items():
        with whole_weight(parameter) as weight:
            if weight.shape[0] < needed:
                raise ValueError(
                    f"the {name} embeddings have {weight.shape[0]} rows, the tokenizer has {needed} tokens, of which "
                    f"{len(index_ids)} are index tokens: {type(model).__name__} did not resize them"
                )
            directions = np.zeros((0, weight.shape[1]), dtype=np.float32)
            if is_drawn.any():  # else no codewords are needed
                directions = index_directions(tokenizer, weight.shape[1], method, seed)[is_drawn]
            noise = np.random.default_rng([seed, 2]).standard_normal((len(other_new), weight.shape[1]))
            rows = np.concatenate([directions, noise.astype(np.float32)])
            text_rows = weight[torch.from_numpy(known).to(weight.device)].float()
            spread, mean = torch.std_mean(text_rows, dim=0, correction=0)
            ids = torch.from_numpy(np.concatenate([index_ids[is_drawn], other_new])).to(weight.device)
            weight[ids] = (mean + spread * torch.from_numpy(rows).to(weight.device)).to(weight.dtype)
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
    """Index tokens whose rows a model has learned and that mean the same under ``index``.

    Items may have been added or removed; those that both indices have must have kept their codes.

    Args:
        base: the model's tokenizer; what index tokens it has, the model has rows of.
        trained_index: gives the index that the model was trained with; asked for where ``base`` has index tokens.
            ``None``: nobody knows, which is taken for the same, with a warning.
        index: to train with.
        name: of the model, for messages.
        replace: of another index under the same tokens keep nothing, instead of refusing it.

    Raises:
        ValueError: the model was trained with another index, under which its rows mean other items.
    """
    tokens = set(index.tokens()) & set(base.get_added_vocab())
    if not tokens:
        return set()
    known = trained_index()
    if known is None:
        logger.warning(
            "%s has rows for %d index tokens, but no item_index.json: they stay as they are, on trust that they were "
            "learned with this index",
            name,
            len(tokens),
        )
        return tokens
    codes = {item: tuple(row) for item, row in zip(known.item_ids, known.codes.tolist(), strict=True)}
    shared = [(item, row) for item, row in zip(index.item_ids, index.codes.tolist(), strict=True) if item in codes]
    moved = [item for item, row in shared if codes[item] != tuple(row)]
    if shared and not moved:
        return tokens & set(known.tokens())
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
    """Give ``model`` a row for every token, where it has fewer; returns how many it had."""
    with whole_weight(model.get_input_embeddings().weight) as weight:
        old_rows = weight.shape[0]
    if old_rows < len(tokenizer):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return old_rows


def index_directions(tokenizer: LCRecTokenizer, width: int, method: str, seed: int) -> np.ndarray:
    """Rows of mean 0 and mean square 1, not yet in the scale of a model.

    Args:
        tokenizer: has the index.
        width: columns.
        method, seed: as for `initialize_index_embeddings`.

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
        if size < 1e-12:  # one code, or equal codewords: there is no direction but noise
            projected, size = np.random.default_rng([seed, 3, level]).standard_normal(projected.shape), 1.0
        parts.append(projected / size)
    rows = np.sqrt(1 - _NOISE_SHARE) * np.concatenate(parts) + np.sqrt(_NOISE_SHARE) * noise
    return rows.astype(np.float32)


def _projection(codebooks: list[np.ndarray], dim: int, width: int, seed: int) -> np.ndarray:
    """float64 (dim, width) that keeps distances: exactly when it widens, in the principal directions when it narrows.

    A random rotation follows in either case, so that the variance is spread over all columns.
    """
    rng = np.random.default_rng([seed, 1])
    if dim <= width:
        return np.linalg.qr(rng.standard_normal((width, dim)))[0].T
    centred = [book - book.mean(axis=0, dtype=np.float64) for book in codebooks if book.shape[1] == dim]
    stacked = np.concatenate(centred).astype(np.float64)
    principal = np.linalg.eigh(stacked.T @ stacked)[1][:, ::-1][:, :width]
    return principal @ np.linalg.qr(rng.standard_normal((width, width)))[0]
