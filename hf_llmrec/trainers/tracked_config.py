"""What a training tells its trackers, and when it pushes: options that all trainers share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from transformers.trainer_utils import HubStrategy


@dataclass
class TrackedConfig:
    """Put before `transformers.TrainingArguments` or a subclass.

    Args:
        report_to: trackers, any of those that transformers knows; none unless asked for.
        hub_strategy: with ``push_to_hub``, when the recommender goes to the Hub: at the ``end``, at ``every_save``, or
            at every save with what a run is resumed from (``checkpoint``, ``all_checkpoints``).
    """

    report_to: list[str] = field(
        default_factory=lambda: ["none"],
        metadata={"help": "where metrics go: `trackio`, `tensorboard`, `wandb`..., one or several (default: none)"},
    )
    hub_strategy: HubStrategy | str = field(
        default="end",
        metadata={
            "help": "with --push_to_hub: only at the `end`, at `every_save`, or at every save with the latest "
            "`checkpoint` or `all_checkpoints`, from which --resume goes on elsewhere"
        },
    )

    facts = {}  # what `describe` was told; no option, so without a type

    def describe(self, **facts: Any) -> None:
        """Let trackers know more of the run than these options; JSON values."""
        self.facts = {**self.facts, **facts}

    def to_dict(self) -> dict[str, Any]:
        # Every tracker takes a run's configuration from here, whatever its own way of storing it.
        return {**super().to_dict(), **self.facts}
