"""Plain text: as a task of the training, and to measure how well a model still writes."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ...prompting.segments import PlainTextEncoder
from .tokenization_lcrec import LCRecTokenizer


def read_plain_text(path: str | os.PathLike) -> list[str]:
    """Read the paragraphs of a text file: blocks between blank lines if there are any, else one per line.

    Args:
        path: UTF-8 text.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not UTF-8, or empty. The message names it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig").replace("\r\n", "\n").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error})") from None
    lines = [line.strip() for line in text.split("\n")]
    if "" in lines and text:
        blocks = "\n".join(lines).split("\n\n")
        lines = [" ".join(block.split()) for block in blocks]
    paragraphs = [line for line in lines if line]
    if not paragraphs:
        raise ValueError(f"{path}: holds no text")
    return paragraphs


def pack_texts(token_ids: Sequence[Sequence[int]], end: int, length: int) -> list[list[int]]:
    """Pack texts into rows, each text followed by the end-of-sequence token. Long texts continue in the next row.

    Args:
        token_ids: token ids of each text.
        end: id of the end-of-sequence token.
        length: number of tokens of a row, at least 2; the last row may be shorter. A rest of one token is left out.

    Raises:
        ValueError: ``length`` is below 2.
    """
    if length < 2:
        raise ValueError(f"max_length must be at least 2 for rows of plain text, got {length}")
    stream = [token for ids in token_ids for token in (*ids, end)]
    rows = [stream[start : start + length] for start in range(0, len(stream), length)]
    return [row for row in rows if len(row) > 1]


@dataclass(frozen=True)
class TextPerplexity:
    """How well a model predicts plain text.

    Attributes:
        perplexity: exp of the mean cross-entropy per token.
        bits_per_byte: cross-entropy in bits per byte of UTF-8; comparable between tokenizers, apart from the first
            token of each text, which is not predicted.
        num_tokens: number of predicted tokens.
        num_texts: number of texts.
    """

    perplexity: float
    bits_per_byte: float
    num_tokens: int
    num_texts: int

    def to_dict(self) -> dict[str, Any]:
        """All fields, as JSON values."""
        return asdict(self)


def base_vocabulary(tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """The ids that a model may predict in plain text: all tokens but those of an item index and the padding token.

    They are the same for a language model and for an LC-Rec trained from it.

    Args:
        tokenizer: an [`LCRecTokenizer`], or that of a language model.

    Returns:
        int64 (ids,), in increasing order.
    """
    ids = set(tokenizer.get_vocab().values()) - {cast(int, tokenizer.pad_token_id)}
    if isinstance(tokenizer, LCRecTokenizer):
        ids -= set(np.concatenate(tokenizer.level_token_ids).tolist())
    return np.array(sorted(ids), dtype=np.int64)


@torch.no_grad()
def plain_text_perplexity(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int = 512
) -> TextPerplexity:
    """Perplexity of a model's own head over plain texts, with probabilities over `base_vocabulary`.

    Call it with a language model before tuning, and with the model and the tokenizer of an [`LCRecRecommender`] after.
    The first token of each text is read but not predicted. Texts are encoded as `LCRecTokenizer.encode_texts` does.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer: an [`LCRecTokenizer`], or another fast tokenizer.
        texts: the texts; each is read by itself.
        max_length: number of tokens that are read at once, at least 2; longer texts are read in parts.

    Raises:
        ValueError: ``max_length`` is below 2, a tokenizer is not fast, or no text has two tokens.
    """
    if max_length < 2:
        raise ValueError(f"max_length must be at least 2, got {max_length}")
    if isinstance(tokenizer, LCRecTokenizer):
        encoder = tokenizer.text_encoder
    elif tokenizer.is_fast:
        encoder = PlainTextEncoder(cast(Tokenizer, tokenizer.backend_tokenizer), tokenizer.all_special_tokens)
    else:
        raise ValueError(f"{type(tokenizer).__name__} is a slow tokenizer: one with tokenizer.json is needed")
    vocabulary = torch.from_numpy(base_vocabulary(tokenizer)).to(model.device)
    total, count, was_training = 0.0, 0, model.training
    model.eval()
    for ids in encoder.encode_batch(texts):
        # A part begins with the last token of the part before, so that every token but the first is predicted once.
        for start in range(0, len(ids) - 1, max_length - 1):
            part = torch.tensor([ids[start : start + max_length]], device=model.device)
            logits = model(input_ids=part).logits[0, :-1, vocabulary].float()
            targets = torch.searchsorted(vocabulary, part[0, 1:])
            total += float(F.cross_entropy(logits, targets, reduction="sum"))
            count += len(targets)
    model.train(was_training)
    if not count:
        raise ValueError("no text has two tokens, of which the second could be predicted")
    num_bytes = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return TextPerplexity(math.exp(total / count), total / math.log(2) / num_bytes, count, len(texts))
