"""Prompts as messages of a chat, for instruct models: the words that a tokenizer's chat template puts around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from ..models.lcrec.segments import Items, Text
from ..models.lcrec.tokenization_lcrec import LCRecTokenizer

# Stands for a message while the template is written out; no template has it.
_MESSAGE = "\u2063message\u2063"


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


@lru_cache(maxsize=8)
def chat_frame(tokenizer: PreTrainedTokenizerBase) -> ChatFrame:
    """The frame of a tokenizer's chat template.

    The template is the tokenizer's own text and may name special tokens; messages are encoded apart and may not.

    Raises:
        ValueError: no chat template, or one that does not show the message as it is, once.
    """
    if not tokenizer.chat_template:
        raise ValueError(
            "use_chat_template needs a tokenizer with a chat template, which this one does not have: take an instruct "
            "model, or leave the option out"
        )
    # Templates without thinking ignore the last argument.
    written = tokenizer.apply_chat_template(
        [{"role": "user", "content": _MESSAGE}], add_generation_prompt=True, tokenize=False, enable_thinking=False
    )
    if written.count(_MESSAGE) != 1:
        raise ValueError("use_chat_template: the tokenizer's chat template does not show a message as it is, once")
    before, after = (tuple(tokenizer(part, add_special_tokens=False)["input_ids"]) for part in written.split(_MESSAGE))
    return ChatFrame(before, after)


def encode_prompt(tokenizer: LCRecTokenizer, segments: Sequence[Text | Items], chat: bool = False) -> list[int]:
    """Token ids of a prompt after which the answer follows: begun by `start_token_id`, or as a message of a chat."""
    if not chat:
        return tokenizer.encode_segments(segments, add_bos=True)
    frame = chat_frame(tokenizer)
    return [*frame.before, *tokenizer.encode_segments(segments), *frame.after]
