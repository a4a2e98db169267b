"""`ConfigBase`: the base of the mixins of training options, as type checkers see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import TrainingArguments

    class ConfigBase(TrainingArguments):
        """The options and methods of `transformers.TrainingArguments`, which the mixins are combined with."""

        output_dir: str  # transformers fills it in where it is None

else:
    ConfigBase = object
