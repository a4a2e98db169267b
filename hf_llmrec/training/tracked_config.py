"""Options that all trainers share: what trackers receive, when the recommender is pushed, and the processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from transformers.trainer_utils import HubStrategy

from ..evaluation.processes import check_joined, runs_on_cpus
from .config_base import ConfigBase


@dataclass
class TrackedConfig(ConfigBase):
    """Mixin before `transformers.TrainingArguments` or a subclass.

    Several processes on a machine without an accelerator use the CPU (``use_cpu``) and are joined over gloo, even where
    ``use_cpu`` was not set. The other parameters are those of [`transformers.TrainingArguments`].

    Args:
        report_to: trackers, any of those that transformers supports; default: none.
        hub_strategy: with ``push_to_hub``, when the recommender is pushed to the Hub: at the ``end`` (default), at
            ``every_save``, or at every save together with what a run is resumed from (``checkpoint``,
            ``all_checkpoints``).
        learn_time_features: after training, where the dataset has times, fit what the time of a request says about
            items, on the validation users, see `fit_time_features`. Rankings use it where requests have times. The
            times of the training interactions are saved and published with the recommender, without users.

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

    learn_time_features: bool = field(
        default=True,
        metadata={"help": "with timestamps: fit what the time of a request says about items after training"},
    )

    def __post_init__(self):
        self.use_cpu = self.use_cpu or runs_on_cpus()
        super().__post_init__()
        check_joined(self.world_size)

    facts = {}  # set by `describe`; without an annotation, which would make it an option

    def describe(self, **facts: Any) -> None:
        """Add facts about the run, besides these options, that trackers receive.

        Args:
            facts: values that JSON can hold, by name; they replace earlier ones of the same name.
        """
        self.facts = {**self.facts, **facts}

    def to_dict(self) -> dict[str, Any]:
        # Every tracker takes a run's configuration from here, whatever its own way of storing it.
        return {**super().to_dict(), **self.facts}
