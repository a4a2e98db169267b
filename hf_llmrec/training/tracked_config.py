"""Options that all trainers share: what trackers get to know, when the recommender is pushed, and the processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from transformers.trainer_utils import HubStrategy

from ..evaluation.processes import check_joined, runs_on_cpus


@dataclass
class TrackedConfig:
    """Put before `transformers.TrainingArguments` or a subclass.

    Args:
        report_to: trackers, any of those that transformers knows; none unless asked for.
        hub_strategy: with ``push_to_hub``, when the recommender goes to the Hub: at the ``end``, at ``every_save``, or
            at every save with what a run is resumed from (``checkpoint``, ``all_checkpoints``).
        use_cpu: as in `transformers.TrainingArguments`; several processes on a machine without an accelerator use the
            CPU, and are joined over gloo, without being told.

    Raises:
        RuntimeError: several processes were launched and cannot be joined.
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

    def __post_init__(self):
        self.use_cpu = self.use_cpu or runs_on_cpus()
        super().__post_init__()
        check_joined(self.world_size)

    facts = {}  # what `describe` was told; no option, so without a type

    def describe(self, **facts: Any) -> None:
        """Let trackers know more of the run than these options; JSON values."""
        self.facts = {**self.facts, **facts}

    def to_dict(self) -> dict[str, Any]:
        # Every tracker takes a run's configuration from here, whatever its own way of storing it.
        return {**super().to_dict(), **self.facts}
