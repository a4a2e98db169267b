"""What counts as an answer."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

# What an endpoint that can is asked to keep to.
SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
LONGEST = 600
# What reasoning models say to themselves first, where the endpoint does not take it out; templates may have opened it.
_THOUGHT = re.compile(r"^(\s*<think>)?.*?</think>", re.DOTALL)
# Markdown, in which chat models like to answer.
_FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)


class BadAnswerError(ValueError):
    """An answer that is not what was asked for."""


def parse_answer(answer: str, answer_format: str, forbidden: tuple[str, ...] = ()) -> str:
    """The text of an answer.

    Args:
        answer: as the language model gave it; a code fence around it, and of JSON words around it, are left out.
        answer_format: ``json`` (an object with "text" alone, trailing commas and single quotes allowed) or ``text``.
        forbidden: names that it must not hold.

    Raises:
        BadAnswerError: no such object, no text, too long a text, or a forbidden name.
    """
    answer = _THOUGHT.sub("", answer, count=1)
    if answer.lstrip().startswith("<think>"):
        raise BadAnswerError("it ends while thinking")
    text = _field(answer) if answer_format == "json" else _unfenced(answer)
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


def _unfenced(answer: str) -> str:
    """What stands in the only code fence of an answer, or the answer."""
    fences = _FENCE.findall(answer)
    return fences[0] if len(fences) == 1 else answer


def _field(answer: str) -> str:
    try:
        value = json.loads(answer)
    except json.JSONDecodeError:
        value = _object(_unfenced(answer))
    if not isinstance(value, dict) or set(value) != {"text"} or not isinstance(value["text"], str):
        raise BadAnswerError('it is no object with a "text" alone')
    return value["text"]


def _object(answer: str) -> Any:
    """The object from the first brace to the last; two objects are none."""
    body = answer[answer.find("{") : answer.rfind("}") + 1]
    try:
        return json.loads(body, strict=False)  # line breaks in texts are no doubt about what is meant
    except json.JSONDecodeError as error:
        try:
            return ast.literal_eval(body)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise BadAnswerError(f"it is no JSON: {error.msg}") from error
