"""Queries of a fine-tuned text encoder: texts made of the last titles of histories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SEPARATOR = "; "
# Tokens that a tokenizer adds to a text, and one per separator.
_ADDED_TOKENS, _SEPARATOR_TOKENS = 2, 1


def query_texts(histories: Sequence[np.ndarray], titles: Sequence[str], count: int, encoder: Any = None) -> list[str]:
    """One text per history: its last titles, oldest first. Items without a title are left out.

    Args:
        histories: n int arrays of item rows, oldest first.
        titles: of all items, by row.
        count: largest number of titles in a text.
        encoder: a `sentence_transformers.SentenceTransformer` that reads the texts. It truncates a text at its end,
            where the latest title is, so the oldest titles of a text that is longer than it reads are left out.
            ``None``: all lengths are read.

    Returns:
        n texts; "" for a history without titles.
    """
    texts, lengths = [], {}
    limit = None if encoder is None else encoder.max_seq_length
    for history in histories:
        chosen = [titles[row] for row in history if titles[row]][-count:]
        if limit is not None and limit < float("inf"):
            room, kept = limit - _ADDED_TOKENS, []
            for title in reversed(chosen):
                if title not in lengths:
                    lengths[title] = len(encoder.tokenizer(title, add_special_tokens=False)["input_ids"])
                room -= lengths[title] + _SEPARATOR_TOKENS
                if kept and room < 0:
                    break
                kept.append(title)
            chosen = kept[::-1]
        texts.append(SEPARATOR.join(chosen))
    return texts
