"""Queries of a fine-tuned text encoder: texts made of the last titles of histories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .configuration_text_encoder import TextEncoderConfig

SEPARATOR = "; "
# Tokens that a tokenizer adds to a text, and one per separator.
_ADDED_TOKENS, _SEPARATOR_TOKENS = 2, 1


def query_texts(
    histories: Sequence[np.ndarray], titles: Sequence[str], config: TextEncoderConfig, encoder: Any = None
) -> list[str]:
    """One text per history: its last titles, oldest first, after a prefix. Items without a title are left out.

    Args:
        histories: n int arrays of item rows, oldest first.
        titles: of all items, by row.
        config: its ``query_titles`` is the largest number of titles in a text, which begins with ``query_prefix``.
        encoder: a `sentence_transformers.SentenceTransformer` that reads the texts. It truncates a text at its end,
            where the latest title is, so the oldest titles of a text that is longer than it reads are left out.
            ``None``: all lengths are read.

    Returns:
        n texts; the prefix alone for a history without titles.
    """
    limit = math.inf if encoder is None or encoder.max_seq_length is None else float(encoder.max_seq_length)
    tokenizer: Any = getattr(encoder, "tokenizer", None)
    lengths: dict[str, int] = {}

    def tokens(text: str) -> int:
        if text not in lengths:
            lengths[text] = len(tokenizer(text, add_special_tokens=False)["input_ids"])
        return lengths[text]

    texts = []
    for history in histories:
        named = [titles[int(row)] for row in history if titles[int(row)]]
        chosen = named[-config.query_titles :]
        if limit < math.inf:
            room = limit - _ADDED_TOKENS - tokens(config.query_prefix)
            kept: list[str] = []
            for title in reversed(chosen):
                room -= tokens(title) + _SEPARATOR_TOKENS
                if kept and room < 0:
                    break
                kept.append(title)
            chosen = kept[::-1]
        texts.append(config.query_prefix + SEPARATOR.join(chosen))
    return texts
