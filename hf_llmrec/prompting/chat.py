"""Chat frames for instruct models: the text that a tokenizer's chat template puts around a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import cast

from transformers import PreTrainedTokenizerBase

from .segments import Items, SegmentTokenizer, Text

# Placeholder for the message while the template is rendered; it occurs in no template.
_MESSAGE = "\u2063message\u2063"
# Some templates print today's date, so that the prompt would change every day. They get this fixed date, which Llama's
# templates print when there is no clock, so that processes and resumed runs agree. A template can be passed data but no
# functions: the clock is a macro that inserts the parts of the date.
_DATE = datetime(2024, 7, 26)
_DATE_PARTS = {f"%{code}": _DATE.strftime(f"%{code}") for code in "aAwdbBmyYHIMSfzZjpUWcxXGuV"}
_DATE_PARTS |= {f"%-{code}": _DATE_PARTS[f"%{code}"].lstrip("0") or "0" for code in "dmyHIMSj"}
_CLOCK = """{% macro strftime_now(format) -%}
{% set date = namespace(text=format) %}
{% for code, text in date_parts.items() %}{% set date.text = date.text | replace(code, text) %}{% endfor %}
{{- date.text -}}
{%- endmacro %}
"""


@dataclass(frozen=True)
class ChatFrame:
    """The token ids around a user's message, up to the position where the answer begins.

    Attributes:
        before: token ids that begin the conversation and the message.
        after: token ids that end the message and begin the answer.
    """

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.before) + len(self.after)


def render_frame(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    """Render a tokenizer's chat template around a user's message, up to the position where the answer begins.

    The result is saved with a trained model, because another version of the tokenizer may have another template.

    Args:
        tokenizer: a tokenizer with a chat template.

    Returns:
        The text before the message and the text after it.

    Raises:
        ValueError: there is no chat template, or it does not contain the message unchanged and exactly once.
    """
    if not tokenizer.chat_template:
        raise ValueError(
            "use_chat_template needs a tokenizer with a chat template, which this one does not have: take an instruct "
            "model, or leave the option out"
        )
    # Templates without thinking or a date ignore the last two arguments.
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": _MESSAGE}],
        add_generation_prompt=True,
        tokenize=False,
        chat_template=_CLOCK + tokenizer.get_chat_template(),
        enable_thinking=False,
        date_parts=_DATE_PARTS,
    )
    text = cast(str, rendered)  # with tokenize=False; the annotation covers all return types
    if text.count(_MESSAGE) != 1:
        raise ValueError("use_chat_template: the tokenizer's chat template does not show a message as it is, once")
    before, after = text.split(_MESSAGE)
    return before, after


@lru_cache(maxsize=8)
def chat_frame(tokenizer: PreTrainedTokenizerBase, rendered: tuple[str, str] | None = None) -> ChatFrame:
    """Tokenize the text around a message.

    This text comes from the tokenizer itself and may contain special tokens; messages are encoded separately, without
    special tokens.

    Args:
        tokenizer: the tokenizer; it needs a chat template if ``rendered`` is ``None``.
        rendered: return value of `render_frame` at the time the model was trained; ``None``: render it now.
    """
    texts = render_frame(tokenizer) if rendered is None else rendered
    before, after = (tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
    return ChatFrame(before, after)


def encode_prompt(
    tokenizer: SegmentTokenizer, segments: Sequence[Text | Items], frame: ChatFrame | None = None
) -> list[int]:
    """Token ids of a prompt that the answer follows.

    Args:
        tokenizer: encodes the segments.
        segments: the prompt.
        frame: the chat around the prompt; ``None``: no chat, and the prompt begins with the tokenizer's start token.
    """
    if frame is None:
        return tokenizer.encode_segments(segments, add_bos=True)
    return [*frame.before, *tokenizer.encode_segments(segments), *frame.after]
