"""Index tokens in a vocabulary: which there are, and the way back from their ids to items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from ...data.item_index import ItemIndex


def added_tokens(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """The tokens that were added to the ordinary vocabulary of a tokenizer."""
    return {token.content for token in tokenizer.added_tokens_decoder.values()}


class ItemLookup:
    """Finds items by the token ids of their indices.

    Args:
        index: ids and codes of the catalogue.
        level_token_ids: per level, int64 (codebook_size,), the token id of each code.
        vocab_size: number of token ids.
    """

    def __init__(self, index: ItemIndex, level_token_ids: Sequence[np.ndarray], vocab_size: int):
        # Prefixes are numbered among the catalogue's prefixes of their length; the key of a prefix is (number of its
        # parent, code). Unlike one mixed-radix number per item, this cannot overflow for any levels and codebook sizes.
        self.sizes = index.codebook_sizes
        self.code_of_token = np.full((index.levels, vocab_size), -1, dtype=np.int32)
        self.prefixes: list[np.ndarray] = []
        self.row_of_prefix = np.zeros(1, dtype=np.int64)
        number = np.zeros(index.num_items, dtype=np.int64)
        for level, (ids, size) in enumerate(zip(level_token_ids, self.sizes, strict=True)):
            self.code_of_token[level, ids] = np.arange(size)
            key = number * size + index.codes[:, level]
            prefixes, self.row_of_prefix, number = np.unique(key, return_index=True, return_inverse=True)
            self.prefixes.append(prefixes)

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Find the items of token ids.

        Args:
            ids: int64 (..., levels), token ids.

        Returns:
            int64 (...), item rows: -1 for ids that are not the index of an item, and the first row of items that share
            an index.

        Raises:
            ValueError: the last axis does not have one entry per level.
        """
        levels = len(self.sizes)
        if ids.ndim == 0 or ids.shape[-1] != levels:
            raise ValueError(f"token ids must have {levels} levels on the last axis, got shape {ids.shape}")
        prefix = np.zeros(ids.shape[:-1], dtype=np.int64)
        for level, (prefixes, size) in enumerate(zip(self.prefixes, self.sizes, strict=True)):
            column = ids[..., level]
            inside = (column >= 0) & (column < self.code_of_token.shape[1])
            code = np.where(inside, self.code_of_token[level][np.where(inside, column, 0)], -1)
            key = np.where((code >= 0) & (prefix >= 0), prefix * size + code, -1)
            place = np.minimum(np.searchsorted(prefixes, key), max(len(prefixes) - 1, 0))
            prefix = np.where(prefixes[place] == key, place, -1) if len(prefixes) else np.full_like(prefix, -1)
        return np.where(prefix >= 0, self.row_of_prefix[prefix], -1) if len(self.row_of_prefix) else prefix
