"""Lengths of the rows of LC-Rec's tasks, without building the rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...data.interactions import RecDataset
from ...data.splits import RecSplit
from .tokenization_lcrec import LCRecTokenizer

# Maximum number of characters of a title in a history of titles, see `LCRecDataset`.
TITLE_LIMIT = 200


class RowLengths:
    """Counts the tokens of the values that templates are filled with; texts are encoded once, on first use.

    Args:
        dataset: the titles and descriptions of the items.
        split: the training sequences.
        tokenizer: the tokenizer with the index.
        max_history: number of items of a history that are read.
        text_limit: number of characters of a text that are read.
        has_text: bool (num_items,), whose titles are part of histories of titles.
    """

    def __init__(
        self,
        dataset: RecDataset,
        split: RecSplit,
        tokenizer: LCRecTokenizer,
        max_history: int,
        text_limit: int,
        has_text: np.ndarray,
    ):
        self.has_text = has_text
        self.dataset, self.split, self.tokenizer = dataset, split, tokenizer
        self.max_history, self.text_limit, self.levels = max_history, text_limit, tokenizer.item_index.levels
        self._counted: dict[str, np.ndarray] = {}

    def of_texts(self, name: str, texts: Sequence[str], limit: int | None = None) -> np.ndarray:
        """Count the tokens of texts.

        Args:
            name: key under which the counts are stored, so that texts are encoded once.
            texts: the texts, always the same for a ``name``.
            limit: number of characters of a text that are read; default: ``text_limit``.

        Returns:
            int64 (texts,).
        """
        if name not in self._counted:
            cut = [text[: limit or self.text_limit] for text in texts]
            self._counted[name] = np.array([len(ids) for ids in self.tokenizer.encode_texts(cut)], dtype=np.int64)
        return self._counted[name]

    def titles(self) -> np.ndarray:
        """Tokens of each item's title, int64 (num_items,)."""
        return self.of_texts("title", self.dataset.titles)

    def descriptions(self) -> np.ndarray:
        """Tokens of each item's description, int64 (num_items,)."""
        return self.of_texts("description", self.dataset.descriptions)

    def targets(self, users: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Item rows int64 (n,) at positions int64 (n,) of the training sequences of users int64 (n,)."""
        return self.split.train_indices[self.split.train_indptr[users] + positions]

    def histories(self, positions: np.ndarray) -> np.ndarray:
        """Tokens of the indices of the items before each position, int64 (n,)."""
        return np.minimum(positions, self.max_history) * self.levels

    def title_histories(self, users: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Tokens of the titles of the items before each position, with a separator after each title, int64 (n,)."""
        titles = (self.of_texts("history title", self.dataset.titles, TITLE_LIMIT) + 1) * self.has_text
        each = titles[self.split.train_indices]
        before = np.concatenate([[0], np.cumsum(each)])
        ends = self.split.train_indptr[users] + positions
        return before[ends] - before[ends - np.minimum(positions, self.max_history)]
