"""A trial of a search: its record on disk, and the handle that a training gets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ..data.files import read_json, write_json
from .space import value_of

RECORD = "trial.json"
STATES = ("running", "complete", "pruned", "stopped", "failed")


class TrialPruned(Exception):
    """Raised by `Trial.report`: the trial is worse than others were at this point, and is given up."""


class TrialStopped(Exception):
    """Raised by `Trial.report`: the budget is spent."""


@dataclass
class TrialRecord:
    """What is known of a trial; stored as ``trial.json``.

    Attributes:
        number: from 0.
        params: values of the search space; of trial 0, which has the defaults, those that the training reported.
        state: ``running``, ``complete``, ``pruned``, ``stopped`` (by the budget) or ``failed``.
        value: the validation metric; ``None`` unless the trial is complete.
        seconds: how long it took, without interruptions of the search.
        evaluations: the metric during training, by the percentage of the training's steps.
        reason: why the trial did not complete.
    """

    number: int
    params: dict[str, Any]
    state: str = "running"
    value: float | None = None
    seconds: float = 0.0
    evaluations: dict[int, float] = field(default_factory=dict)
    reason: str | None = None

    def save(self, folder: Path) -> None:
        """Write the record.

        Args:
            folder: of the trial.
        """
        write_json(folder / RECORD, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {**dataclasses.asdict(self), "seconds": round(self.seconds, 2)}

    @classmethod
    def load(cls, folder: Path) -> TrialRecord:
        """Read the record of a trial.

        Args:
            folder: of the trial.

        Raises:
            ValueError: the file is no such record.
        """
        file = folder / RECORD
        value = read_json(file)
        names = {each.name for each in dataclasses.fields(cls)}
        if not isinstance(value, dict) or set(value) != names or value["state"] not in STATES:
            raise ValueError(f"{file}: not the record of a trial")
        evaluations = {int(share): number for share, number in value["evaluations"].items()}
        return cls(**{**value, "evaluations": evaluations})


class Trial:
    """A trial that is being trained.

    Args:
        record: of the trial; changed in place.
        options: what to train with: the options of all trials, with the values of this one.
        folder: where the training saves its recommender; it may hold checkpoints of an interrupted training of the same
            trial.
        metric: name of the validation metric.
        names: of the search space.
        on_check: called to note the time; raises `TrialStopped` to end the trial.
        on_report: called after each evaluation; raises `TrialPruned` to end the trial.

    Attributes:
        number: of the trial, from 0; trial 0 has the defaults.
        options: as passed.
        folder: as passed.
        metric: as passed.
    """

    def __init__(
        self,
        record: TrialRecord,
        options: dict[str, Any],
        folder: Path,
        metric: str,
        names: Iterable[str],
        *,
        on_check: Callable[[], None],
        on_report: Callable[[], None],
    ):
        self._record, self._names, self._on_check, self._on_report = record, tuple(names), on_check, on_report
        self.number, self.options, self.folder, self.metric = record.number, options, folder, metric

    def check(self) -> None:
        """Note the time that the trial has taken; to be called now and then, as `report` does.

        Raises:
            TrialStopped: the budget is spent.
        """
        self._on_check()

    def report(self, value: float, share: float) -> None:
        """Record an evaluation during the training.

        Args:
            value: of the metric on validation users.
            share: which part of the training's steps is done, in [0, 1]. Trials are compared at the same part, rounded
                to percent.

        Raises:
            TrialPruned: other trials were better at this point.
            TrialStopped: the budget is spent.
        """
        self._record.evaluations[round(100 * share)] = float(value)
        self._on_check()
        self._on_report()

    def learn(self, options: Mapping[str, Any]) -> None:
        """Note which defaults the training uses, so that the search learns from trial 0; other trials note nothing.

        Args:
            options: of the training as it runs, of which those of the search space are taken.
        """
        if self.number == 0:
            values = {name: value_of(options, name) for name in self._names}
            self._record.params.update({name: value for name, value in values.items() if value is not None})

    def callback(self) -> TrainerCallback:
        """A callback that reports the trainer's evaluations and options to the trial.

        Example:
            ```python
            SASRecTrainer(recommender, config, split=split, callbacks=[trial.callback()]).train()
            ```
        """
        return TrialCallback(self.metric, self.report, self.learn)


class TrialCallback(TrainerCallback):
    """Reports a trainer's evaluations, and the options that it uses.

    Args:
        metric: name of the validation metric, without the prefix ``eval_``.
        report: called with its value and with the part of the training's steps that is done, in [0, 1].
        learn: called once, when the training begins, with its options: those of the trainer, ``model_options`` and
            ``backbone_overrides``; default: not called.
    """

    def __init__(
        self,
        metric: str,
        report: Callable[[float, float], None],
        learn: Callable[[dict[str, Any]], None] | None = None,
    ):
        self._metric, self._report, self._learn = metric, report, learn
        self._is_training = False

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self._is_training = True
        if self._learn is not None and state.is_world_process_zero:
            options = args.to_dict()
            config = getattr(model, "config", None)
            if config is not None:
                options["model_options"] = config.to_dict()
                options["backbone_overrides"] = config.get_text_config().to_dict()
            # Language models describe what they read in their prompt, whose fields are options of the commands.
            self._learn({**(options.get("prompt") or {}), **options})

    def on_train_end(self, args, state, control, **kwargs):
        self._is_training = False

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        value = (metrics or {}).get(f"eval_{self._metric}")
        if self._is_training and value is not None and state.is_world_process_zero:
            self._report(float(value), state.global_step / max(state.max_steps, 1))
