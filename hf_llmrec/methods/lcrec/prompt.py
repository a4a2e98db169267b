"""`LCRecPrompt`: the form of the prompts that an LC-Rec model was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from ...prompting.chat import ChatFrame, chat_frame, encode_prompt, render_frame
from ...prompting.fitting import fit_prompt
from ...prompting.segments import Items, Text
from .templates import load_templates
from .tokenization_lcrec import LCRecTokenizer

SEQ_FORMS = ("packed", "prefix")


@dataclass(frozen=True)
class LCRecPrompt:
    """The form of the sequential-recommendation prompt, stored with the model.

    Args:
        form: ``packed`` (the history is a plain sequence, of which every position was a target) or ``prefix`` (the
            paper's: an instruction around the history, one target per example; arXiv 2311.09049, section 3.3.1).
        packed_prefix: text before the history in the packed form; empty for index-only models.
        max_history: number of the latest items of a history that are read, at least 1.
        max_length: maximum number of tokens of a prompt and its answer together, as in training; ``None``: no maximum.
        chat: whether prompts are messages of the tokenizer's chat template, for instruct models. Answers and packed
            sequences are the assistant's.
        chat_frame: the texts that the chat template wrote before and after a message when the model was trained;
            ``None``: they are not stored yet, and the tokenizer's template is rendered.

    Raises:
        ValueError: an unknown ``form``, or ``max_history`` below 1.
    """

    form: str = "packed"
    packed_prefix: str = ""
    max_history: int = 20
    max_length: int | None = None
    chat: bool = False
    chat_frame: tuple[str, str] | None = None

    def __post_init__(self):
        if self.chat_frame is not None:
            object.__setattr__(self, "chat_frame", tuple(self.chat_frame))
        if self.form not in SEQ_FORMS:
            raise ValueError(f"seq_form must be one of {SEQ_FORMS}, got {self.form!r}")
        if self.max_history < 1:
            raise ValueError(f"max_history must be at least 1, got {self.max_history}")

    @property
    def num_templates(self) -> int:
        """Number of templates of the sequential prompt: one in the packed form."""
        return 1 if self.form == "packed" else len(load_templates()["seq"])

    def room(self, tokenizer: LCRecTokenizer) -> int | None:
        """Maximum number of tokens of a prompt, which leaves space for an item; ``None``: no maximum."""
        return None if self.max_length is None else self.max_length - tokenizer.item_index.levels

    def keep_frame(self, tokenizer: LCRecTokenizer) -> LCRecPrompt:
        """Return the prompt with its ``chat_frame`` rendered, as it is stored with a trained model."""
        is_needed = self.chat and self.chat_frame is None
        return replace(self, chat_frame=render_frame(tokenizer)) if is_needed else self

    def frame(self, tokenizer: LCRecTokenizer) -> ChatFrame | None:
        """The token ids of the chat around a prompt; ``None`` without a chat."""
        return chat_frame(tokenizer, self.chat_frame) if self.chat else None

    def to_dict(self) -> dict[str, Any]:
        """All fields, as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LCRecPrompt:
        """Create a prompt from the output of `to_dict`; unknown keys are ignored, missing fields get their defaults."""
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})

    def encode_history(
        self, tokenizer: LCRecTokenizer, history: Sequence[int] | np.ndarray, template: int = 0
    ) -> list[int]:
        """Encode the prompt for a history, after which the next item's index follows.

        Args:
            tokenizer: the tokenizer with the index.
            history: item rows, oldest first; only the latest ``max_history`` that fit are read. May be empty.
            template: number of the ``seq`` template, in the prefix form.

        Returns:
            token ids.
        """
        recent = np.asarray(history)[-self.max_history :]
        room = self.room(tokenizer)
        if self.form == "prefix":
            pattern = load_templates()["seq"][template].prompt
            return fit_prompt(tokenizer, pattern, {"history": recent}, room, self.frame(tokenizer))
        prefix = self.encode_packed_prefix(tokenizer)
        if room is not None:
            recent = recent[max(len(recent) - (room - len(prefix)) // tokenizer.item_index.levels, 0) :]
        return prefix + (tokenizer.encode_segments([Items(recent)]) if len(recent) else [])

    def encode_packed_prefix(self, tokenizer: LCRecTokenizer) -> list[int]:
        """Encode the text before the items of the packed form.

        Args:
            tokenizer: the tokenizer with the index.

        Returns:
            token ids.

        Raises:
            ValueError: the ids leave no room for two items within ``max_length``.
        """
        segments = [Text(self.packed_prefix)] if self.packed_prefix else []
        prefix = encode_prompt(tokenizer, segments, self.frame(tokenizer))
        levels = tokenizer.item_index.levels
        if self.max_length is not None and len(prefix) + 2 * levels > self.max_length:
            raise ValueError(
                f"max_length {self.max_length} has no room for two items of {levels} tokens after packed_prefix "
                f"({len(prefix)} tokens)"
            )
        return prefix

    def encode_query(self, tokenizer: LCRecTokenizer, history: Sequence[int] | np.ndarray, query: str) -> list[int]:
        """Encode the prompt for a query in free text, with or without a history (the prompt of the ITE task).

        Args:
            tokenizer: the tokenizer with the index.
            history: item rows, oldest first; only the latest ``max_history`` that fit are read. May be empty.
            query: the text.

        Returns:
            token ids.
        """
        recent = np.asarray(history)[-self.max_history :]
        direction = "ite_history_intention_to_item" if len(recent) else "ite_intention_to_item"
        values = {"history": recent, "intention": query}
        pattern = load_templates()[direction][0].prompt
        return fit_prompt(tokenizer, pattern, values, self.room(tokenizer), self.frame(tokenizer))
