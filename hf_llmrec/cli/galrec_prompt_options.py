"""Options of ``train galrec`` for the sequences that the model reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..methods.galrec.prompt import GALRecPrompt
from ..methods.galrec.start_defaults import GALREC_PROMPT
from ..methods.galrec.trainer_config import GALRecTrainingConfig
from .backbones import BackboneArguments

PROMPT_OPTIONS = (
    *("template", "hops", "max_history", "num_neighbors", "num_neighbor_items", "neighbor_order", "title_hops"),
    "max_title_tokens",
)


@dataclass
class GALRecPromptArguments(BackboneArguments):
    """What a user's sequence holds, see `GALRecPrompt`. The other parameters are those of [`BackboneArguments`].

    The token budget of a sequence is ``max_length`` of `GALRecTrainingConfig`. An option that is not set is that of the
    model that training starts from; the defaults below are those of a new model.

    Args:
        template: text around a user's tokens: ``words``, or ``bare`` (none); default: ``bare`` from scratch, else
            ``words``.
        hops: how far the user's neighbourhood is read: 1 (the user's items), 2 (also users who share them) or 3 (also
            those users' items); default: 2.
        max_history: how many of the latest items of a history are read; default: 50.
        num_neighbors: users of hop 2; default: 8.
        num_neighbor_items: items of hop 3; default: 8.
        neighbor_order: how users of hop 2 are chosen: ``uniform`` samples, or ``most_shared``, those who share most
            items; default: ``uniform``.
        title_hops: where titles stand beside items: 0, the segment of a single item, and hops 1 and 3; default: none
            from scratch, else 0.
        max_title_tokens: tokens of a title; longer titles are cut; default: 16.
    """

    template: str | None = field(
        default=None,
        metadata={
            "help": "`words`, or `bare`: no words around the tokens (default: `bare` from scratch, else `words`)"
        },
    )
    hops: int | None = field(default=None, metadata={"help": "1, 2 or 3 (default: 2)"})
    max_history: int | None = field(
        default=None, metadata={"help": "how many of the latest items of a history are read (default: 50)"}
    )
    num_neighbors: int | None = field(default=None, metadata={"help": "users of hop 2 (default: 8)"})
    num_neighbor_items: int | None = field(default=None, metadata={"help": "items of hop 3 (default: 8)"})
    neighbor_order: str | None = field(
        default=None, metadata={"help": "hop 2: `uniform` samples or `most_shared` first (default: uniform)"}
    )
    title_hops: list[int] | None = field(
        default=None,
        metadata={
            "help": "titles beside items: 0 (an item's own segment), hops 1 and 3 (default: none from scratch, else 0)"
        },
    )
    max_title_tokens: int | None = field(
        default=None, metadata={"help": "tokens of a title; longer titles are cut (default: 16)"}
    )

    def start_defaults(self, prompt, training):
        values, given = prompt.to_dict(), self.prompt(training)
        return {name: values[name] for name in GALREC_PROMPT if name not in given}

    def prompt(self, training: GALRecTrainingConfig) -> dict[str, Any]:
        """The fields of `GALRecPrompt` that are set.

        Args:
            training: has ``max_length``, and whether titles are trained on.

        Raises:
            ValueError: the prompt refuses a value.
        """
        fields = {name: getattr(self, name) for name in PROMPT_OPTIONS}
        fields |= {"max_length": training.max_length, "chat": self.use_chat_template}
        if training.lm_loss_weight and self.title_hops is None:
            fields["title_hops"] = (0,)  # the vocabulary loss is computed on titles
        given = {name: value for name, value in fields.items() if value is not None}
        GALRecPrompt(**given)  # checks the values before anything is loaded
        return given
