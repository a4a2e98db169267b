"""Parsing and validation of the language model's answers."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

# Sent to endpoints that support structured output.
SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
LONGEST = 600
# The reasoning that some models write first, unless the endpoint removes it. The opening tag may be part of the chat
# template, so that only the closing one is in the answer.
_THOUGHT = re.compile(r"^(\s*<think>)?.*?</think>", re.DOTALL)
# A Markdown code fence: chat models often wrap their answer in one.
_FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)


class BadAnswerError(ValueError):
    """An answer that does not meet the requirements of `parse_answer`."""


def parse_answer(answer: str, answer_format: str, forbidden: tuple[str, ...] = ()) -> str:
    """Extract and validate the text of an answer.

    Args:
        answer: raw output of the language model. Reasoning in front of it and a code fence around it are removed; for
            ``json`` also other words around the object.
        answer_format: ``json`` (an object whose only field is "text"; trailing commas and single quotes are accepted)
            or ``text``.
        forbidden: item titles and brands that the text must not contain.

    Returns:
        The text on one line, with runs of white space collapsed.

    Raises:
        BadAnswerError: the answer is not such an object, or its text is empty, longer than `LONGEST` characters, not
            printable, or contains a forbidden name.
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
    """A pattern that finds a name as separate words, ignoring case and the amount of white space between them.

    Args:
        name: an item title or a brand.
    """
    words = r"\s+".join(re.escape(word) for word in name.split())
    return re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)


def _unfenced(answer: str) -> str:
    """The content of the code fence if an answer has exactly one, otherwise the answer as it is."""
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
    """Parse the text from the first brace to the last one; an answer with two objects is invalid."""
    body = answer[answer.find("{") : answer.rfind("}") + 1]
    try:
        return json.loads(body, strict=False)  # unescaped line breaks in strings are unambiguous
    except json.JSONDecodeError as error:
        try:
            return ast.literal_eval(body)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise BadAnswerError(f"it is no JSON: {error.msg}") from error
