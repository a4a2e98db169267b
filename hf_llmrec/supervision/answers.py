"""What counts as an answer."""

from __future__ import annotations

import json
import re

# What an endpoint that can is asked to keep to.
SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
LONGEST = 600
# What reasoning models say to themselves first, where the endpoint does not take it out.
_THOUGHT = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)


class BadAnswerError(ValueError):
    """An answer that is not what was asked for."""


def parse_answer(answer: str, answer_format: str, forbidden: tuple[str, ...] = ()) -> str:
    """The text of an answer.

    Args:
        answer: as the language model gave it. answer_format: ``json`` (an object with "text" alone) or ``text``.
        forbidden: names that it must not hold.

    Raises:
        BadAnswerError: no such object, no text, too long a text, or a forbidden name.
    """
    answer = _THOUGHT.sub("", answer, count=1)
    if answer.lstrip().startswith("<think>"):
        raise BadAnswerError("it ends while thinking")
    text = _field(answer) if answer_format == "json" else answer
    text = " ".join(text.split())
    if not text:
        raise BadAnswerError("it is empty")
    if len(text) > LONGEST:
        raise BadAnswerError(f"it has {len(text)} characters, more than {LONGEST}")
    if "\ufffd" in text or not text.isprintable():
        raise BadAnswerError("it is no text")
    for name in forbidden:
        if name_pattern(name).search(text):
            raise BadAnswerError("it names an item or a brand")
    return text


def name_pattern(name: str) -> re.Pattern[str]:
    """Finds a name as words of their own, whatever their case and the spaces between them."""
    words = r"\s+".join(re.escape(word) for word in name.split())
    return re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)


def _field(answer: str) -> str:
    try:
        value = json.loads(answer)
    except json.JSONDecodeError as error:
        raise BadAnswerError(f"it is no JSON: {error.msg}") from error
    if not isinstance(value, dict) or set(value) != {"text"} or not isinstance(value["text"], str):
        raise BadAnswerError('it is no object with a "text" alone')
    return value["text"]
