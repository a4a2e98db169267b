"""Prompts within a length: the oldest items go first, then the ends of long texts, never the words around them."""

from __future__ import annotations

from collections.abc import Mapping

from .chat import ChatFrame, encode_prompt
from .segments import SegmentTokenizer, Text
from .templates import TEXT_FIELDS, fill, placeholders


def bare_length(tokenizer: SegmentTokenizer, pattern: str, frame: ChatFrame | None = None) -> int:
    """Tokens of a pattern's own words (and of the chat around them), with nothing filled in."""
    empty = {name: "" if name in TEXT_FIELDS else [] for name in placeholders(pattern)}
    return len(encode_prompt(tokenizer, fill(pattern, empty), frame))


def fit_prompt(
    tokenizer: SegmentTokenizer,
    pattern: str,
    values: Mapping[str, object],
    room: int | None,
    frame: ChatFrame | None = None,
) -> list[int]:
    """Token ids of a filled pattern, at most ``room`` of them (``None``: any number).

    Args:
        tokenizer: has the index vocabulary.
        pattern, values: see `fill`. ``history`` loses its oldest items; of the texts the longest is cut at its end,
            ``titles`` (a history in words) at its beginning.
        frame: of a chat, whose message the prompt is; ``None``: no chat.

    Raises:
        ValueError: the pattern's own words do not fit.
    """
    values, used = dict(values), placeholders(pattern)
    while True:
        ids = encode_prompt(tokenizer, fill(pattern, values), frame)
        over = 0 if room is None else len(ids) - room
        if over <= 0:
            return ids
        if "history" in used and len(values["history"]):
            values["history"] = values["history"][-(-over // tokenizer.item_index.levels) :]
            continue
        texts = [name for name in used & TEXT_FIELDS if values[name]]
        if not texts:
            raise ValueError(f"the prompt {pattern!r} needs {len(ids)} tokens, there is room for {room}")
        name = max(sorted(texts), key=lambda field: len(values[field]))
        text = values[name]
        tokens = len(tokenizer.encode_segments([Text(text)]))
        keep = min(int(len(text) * max(tokens - over, 0) / max(tokens, 1)), len(text) - 1)
        values[name] = text[len(text) - keep :] if name == "titles" else text[:keep]
