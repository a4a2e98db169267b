"""How fast a run is and how long it has to go, as one line per log where there is no progress bar."""

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
# Seconds without a line after which one says how far a run is.
_SILENCE = 30


@dataclass
class _Breaks:
    """What interrupts the steps: evaluations, or saves."""

    count: int = 0
    seconds: float = 0.0

    def left(self, planned: int) -> float:
        """Seconds of those to come, if they take as long as those before. The first comes as a surprise."""
        return max(planned - self.count, 0) * self.seconds / self.count if self.count else 0.0


class TrainingClock(TrainerCallback):
    """Time since this start of a run, that of steps apart from that of evaluations and saves.

    A resumed run counts from where it was resumed: what came before took its time on another day, perhaps on another
    machine. The time left is that of the steps to come at the mean time of a step, and that of the evaluations and
    saves to come at theirs. It is the longest: early stopping cannot be foreseen.

    Args:
        now: a clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter):
        self._now = now
        self._began: float | None = None

    def on_train_begin(self, args, state, control, **kwargs):
        self._began = self._mark = self._said = self._now()
        self._start_step, self._start_epoch = state.global_step, state.epoch or 0.0
        self._evaluations, self._saves, self._lap = _Breaks(), _Breaks(), 0.0

    # The trainer logs, evaluates and saves after these two events, in this order.
    def on_step_end(self, args, state, control, **kwargs):
        self._mark = self._now()
        if self._mark - self._said >= _SILENCE and self._speaks(args, state):
            self._say(self._progress(args, state))

    def on_epoch_end(self, args, state, control, **kwargs):
        self._mark = self._now()

    def on_evaluate(self, args, state, control, **kwargs):
        if self._began is not None:  # else `Trainer.evaluate` by itself
            self._pause(self._evaluations)

    def on_save(self, args, state, control, **kwargs):
        self._pause(self._saves)

    def on_train_end(self, args, state, control, **kwargs):
        self._began = None

    def _pause(self, breaks: _Breaks) -> None:
        now = self._now()
        breaks.count, breaks.seconds, self._mark = breaks.count + 1, breaks.seconds + now - self._mark, now

    def _seconds(self) -> float:
        """In steps since this start."""
        return self._now() - self._began - self._evaluations.seconds - self._saves.seconds

    def lap(self) -> float:
        """Seconds in steps since the last lap."""
        before, self._lap = self._lap, self._seconds()
        return self._lap - before

    def left(self, args: TrainingArguments, state: TrainerState) -> float | None:
        """Seconds that the run will still take; ``None`` before the first step."""
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

    def _speaks(self, args: TrainingArguments, state: TrainerState) -> bool:
        """Whether this process has lines: with a terminal the progress bar says all this."""
        return state.is_world_process_zero and (args.disable_tqdm or not sys.stderr.isatty())

    def _say(self, line: str) -> None:
        logger.info("%s", line)
        self._said = self._now()

    def _progress(self, args: TrainingArguments, state: TrainerState, numbers: str = "") -> str:
        left = self.left(args, state)
        return (
            f"step {state.global_step} of {state.max_steps} ({100 * state.global_step // state.max_steps} %), {numbers}"
            f"{spoken(self._now() - self._began)}, {'?' if left is None else spoken(left)} left"
        )

    def on_log(self, args, state, control, logs=None, **kwargs):
        if self._began is None or not self._speaks(args, state):
            return
        if "loss" in logs:
            numbers = f"loss {logs['loss']:.3f}, {logs['tokens_per_second']:,.0f} tokens/s, "
            self._say(self._progress(args, state, numbers))
        elif "eval_loss" in logs:
            self._say(f"step {state.global_step}: {short_line(logs)}")


def spoken(seconds: float) -> str:
    """A time as one says it: ``45 s``, ``14 min``, ``2 h 5 min``."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
