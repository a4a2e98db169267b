"""Prompts as messages of a chat, for instruct models: the words that a tokenizer's chat template puts around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from .segments import Items, SegmentTokenizer, Text

# Stands for a message while the template is written out; no template has it.
_MESSAGE = "\u2063message\u2063"
# Some templates print today's date, and every day would have another prompt. They get this one, which Llama's templates
# print where there is no clock; so processes and resumed runs agree, too. Templates are given data, no functions: the
# clock is a macro that puts in the parts of the date.
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
    """Token ids around a user's message, up to where the answer begins.

    Attributes:
        before: what begins a conversation and the message. after: what ends the message and begins the answer.
    """

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.before) + len(self.after)


def render_frame(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    """What a tokenizer's chat template writes (before, after) a user's message, up to where the answer begins.

    A trained model keeps it: the template of another version of the tokenizer may write something else.

    Raises:
        ValueError: no chat template, or one that does not show the message as it is, once.
    """
    if not tokenizer.chat_template:
        raise ValueError(
            "use_chat_template needs a tokenizer with a chat template, which this one does not have: take an instruct "
            "model, or leave the option out"
        )
    # Templates without thinking or a date ignore the last arguments.
    written = tokenizer.apply_chat_template(
        [{"role": "user", "content": _MESSAGE}],
        add_generation_prompt=True,
        tokenize=False,
        chat_template=_CLOCK + tokenizer.get_chat_template(),
        enable_thinking=False,
        date_parts=_DATE_PARTS,
    )
    if written.count(_MESSAGE) != 1:
        raise ValueError("use_chat_template: the tokenizer's chat template does not show a message as it is, once")
    before, after = written.split(_MESSAGE)
    return before, after


@lru_cache(maxsize=8)
def chat_frame(tokenizer: PreTrainedTokenizerBase, rendered: tuple[str, str] | None = None) -> ChatFrame:
    """The frame in token ids.

    It is the tokenizer's own text and may name special tokens; messages are encoded apart and may not.

    Args:
        tokenizer: with a chat template.
        rendered: what `render_frame` gave when the model was trained; ``None``: what it gives now.
    """
    texts = render_frame(tokenizer) if rendered is None else rendered
    before, after = (tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
    return ChatFrame(before, after)


def encode_prompt(
    tokenizer: SegmentTokenizer, segments: Sequence[Text | Items], frame: ChatFrame | None = None
) -> list[int]:
    """Token ids of a prompt after which the answer follows: begun by `start_token_id`, or with a chat around it."""
    if frame is None:
        return tokenizer.encode_segments(segments, add_bos=True)
    return [*frame.before, *tokenizer.encode_segments(segments), *frame.after]
