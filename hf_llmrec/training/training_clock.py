"""Speed of a run and its time left, as one log line where there is no progress bar.

tqdm's estimate is not used: it averages over everything between two steps, evaluations and saves included.
"""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from transformers import TrainerCallback, TrainerState, TrainingArguments

from .short_log import short_line

logger = logging.getLogger(__name__)
# Seconds without a line after which a progress line is logged.
_SILENCE = 30


@dataclass
class _Breaks:
    """Interruptions of the steps of one kind: evaluations, or saves."""

    count: int = 0
    seconds: float = 0.0

    def left(self, planned: int) -> float:
        """Seconds of those to come, at the mean duration of those before; 0 before the first."""
        return max(planned - self.count, 0) * self.seconds / self.count if self.count else 0.0


class TrainingClock(TrainerCallback):
    """Measures a run from its start, the time of steps apart from that of evaluations and saves.

    A resumed run is measured from where it was resumed: the steps before took their time on another day, perhaps on
    another machine. The time left is that of the remaining steps at the mean time of a step, plus that of the remaining
    evaluations and saves at their mean times. It is an upper bound: early stopping cannot be foreseen.

    Args:
        now: a clock, in seconds; default: `time.perf_counter`.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter):
        self._now = now
        self._is_training = False
        self._began = 0.0

    def on_train_begin(self, args, state, control, **kwargs):
        self._is_training = True
        self._began = self._mark = self._last_line = self._now()
        self._start_step, self._start_epoch = state.global_step, state.epoch or 0.0
        self._evaluations, self._saves, self._lap = _Breaks(), _Breaks(), 0.0

    # The trainer logs, evaluates and saves after these two events, in this order.
    def on_step_end(self, args, state, control, **kwargs):
        self._mark = self._now()
        if self._mark - self._last_line >= _SILENCE and self._logs_lines(args, state):
            self._log_line(self._progress(args, state))

    def on_epoch_end(self, args, state, control, **kwargs):
        self._mark = self._now()

    def on_evaluate(self, args, state, control, **kwargs):
        if self._is_training:  # `Trainer.evaluate` may also be called without a training
            self._add_break(self._evaluations)

    def on_save(self, args, state, control, **kwargs):
        self._add_break(self._saves)

    def on_train_end(self, args, state, control, **kwargs):
        self._is_training = False

    def _add_break(self, breaks: _Breaks) -> None:
        now = self._now()
        breaks.count, breaks.seconds, self._mark = breaks.count + 1, breaks.seconds + now - self._mark, now

    def _seconds(self) -> float:
        """Seconds spent in steps since the start."""
        return self._now() - self._began - self._evaluations.seconds - self._saves.seconds

    def lap(self) -> float:
        """Seconds spent in steps since the last call."""
        before, self._lap = self._lap, self._seconds()
        return self._lap - before

    def left(self, args: TrainingArguments, state: TrainerState) -> float | None:
        """Estimate the seconds that the run will still take.

        Args:
            args: give the strategies of evaluations and saves.
            state: gives the step and the planned number of steps.

        Returns:
            The seconds; ``None`` before the first step.
        """
        done = state.global_step - self._start_step
        if done < 1:
            return None
        steps = (state.max_steps - state.global_step) * self._seconds() / done
        evaluations = self._planned(args.eval_strategy, state.eval_steps, state)
        saves = self._planned(args.save_strategy, state.save_steps, state)
        return steps + self._evaluations.left(evaluations) + self._saves.left(saves)

    def _planned(self, strategy: str, every: int, state: TrainerState) -> int:
        """How often something is done between this start and the end."""
        if strategy == "steps":
            return state.max_steps // every - self._start_step // every
        return math.ceil(state.num_train_epochs - self._start_epoch) if strategy == "epoch" else 0

    def _logs_lines(self, args: TrainingArguments, state: TrainerState) -> bool:
        """Whether this process logs lines; in a terminal the progress bar shows the same."""
        return state.is_world_process_zero and (args.disable_tqdm or not sys.stderr.isatty())

    def _log_line(self, line: str) -> None:
        logger.info("%s", line)
        self._last_line = self._now()

    def _progress(self, args: TrainingArguments, state: TrainerState, numbers: str = "") -> str:
        left = self.left(args, state)
        return (
            f"step {state.global_step} of {state.max_steps} ({100 * state.global_step // state.max_steps} %), {numbers}"
            f"{spoken(self._now() - self._began)}, {'?' if left is None else spoken(left)} left"
        )

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not self._is_training or not self._logs_lines(args, state):
            return
        logs = logs or {}
        if "loss" in logs:
            numbers = f"loss {logs['loss']:.3f}, {logs['tokens_per_second']:,.0f} tokens/s, "
            self._log_line(self._progress(args, state, numbers))
        elif "eval_loss" in logs:
            self._log_line(f"step {state.global_step}: {short_line(logs)}")


def spoken(seconds: float) -> str:
    """Format a duration with its units: ``45 s``, ``14 min``, ``2 h 5 min`` (tqdm's clock format has none: ``14:10``).

    Args:
        seconds: the duration, not negative.
    """
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
