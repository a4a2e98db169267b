"""Truncates prompts to a length: first the oldest items, then the longest texts, never the template's own words."""

from __future__ import annotations

from collections.abc import Mapping

from .chat import ChatFrame, encode_prompt
from .segments import SegmentTokenizer, Text
from .templates import TEXT_FIELDS, field_values, fill, placeholders


def bare_length(tokenizer: SegmentTokenizer, pattern: str, frame: ChatFrame | None = None) -> int:
    """Number of tokens of a pattern with empty placeholders, including the chat around it.

    Args:
        tokenizer: has the index vocabulary.
        pattern: text with placeholders, see `fill`.
        frame: the chat around the prompt; ``None``: no chat.
    """
    empty: dict[str, object] = {name: "" if name in TEXT_FIELDS else [] for name in placeholders(pattern)}
    return len(encode_prompt(tokenizer, fill(pattern, empty), frame))


def fit_prompt(
    tokenizer: SegmentTokenizer,
    pattern: str,
    values: Mapping[str, object],
    room: int | None,
    frame: ChatFrame | None = None,
) -> list[int]:
    """Token ids of a filled pattern, truncated to a length.

    ``history`` loses its oldest items first. Then the longest text is cut, again and again: at its end, except for
    ``titles`` (a history in words), which is cut at its beginning.

    Args:
        tokenizer: has the index vocabulary.
        pattern: text with placeholders, see `fill`.
        values: values of the placeholders, see `fill`.
        room: largest number of tokens; ``None``: no limit.
        frame: the chat around the prompt, whose tokens count; ``None``: no chat.

    Raises:
        KeyError: a placeholder has no value.
        TypeError: the value of a placeholder has the wrong type.
        ValueError: the pattern's own words do not fit.
    """
    rows, texts = field_values(pattern, values)
    while True:
        ids = encode_prompt(tokenizer, fill(pattern, {**rows, **texts}), frame)
        excess = 0 if room is None else len(ids) - room
        if excess <= 0:
            return ids
        if len(rows.get("history", ())):
            rows["history"] = rows["history"][-(-excess // tokenizer.item_index.levels) :]
            continue
        name = max(sorted(texts), key=lambda field: len(texts[field]), default=None)
        if name is None or not texts[name]:
            raise ValueError(f"the prompt {pattern!r} needs {len(ids)} tokens, there is room for {room}")
        text = texts[name]
        tokens = len(tokenizer.encode_segments([Text(text)]))
        keep = min(int(len(text) * max(tokens - excess, 0) / max(tokens, 1)), len(text) - 1)
        texts[name] = text[len(text) - keep :] if name == "titles" else text[:keep]
