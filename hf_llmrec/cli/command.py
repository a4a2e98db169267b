"""`Command`: a command of ``hf-llmrec``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        module: name of its module in ``hf_llmrec.cli``, whose ``main`` takes the words after the command.
        text: what the command does, for the usage text and the command's help.
        options: dataclasses whose fields are its options, as ``module:class`` below ``hf_llmrec``; empty if the module
            has an argparse parser, which imports nothing heavy.
        words: put before the user's words.
        also: options inherited from transformers' or TRL's classes that the help shows, as (name, help text).
    """

    module: str
    text: str
    options: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    also: tuple[tuple[str, str], ...] = ()
