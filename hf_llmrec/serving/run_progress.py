"""Progress of a run over many users: users per second and time left."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

from ..training.training_clock import spoken

logger = logging.getLogger(__name__)
# Seconds between two lines in a log, and between two updates of a line in a terminal.
_SILENCE, _UPDATE = 30.0, 0.5


class RunProgress:
    """Shows how many users are done, on one line of a terminal or as lines of a log.

    Args:
        total: how many users there are to do.
        share: whose users these are, such as ``" of process 1 of 2"``; "": all.
        now: a clock, in seconds; default: `time.perf_counter`.
    """

    def __init__(self, total: int, share: str = "", now: Callable[[], float] = time.perf_counter):
        self._total, self._share, self._now = total, share, now
        self._began = self._shown = now()
        self._is_terminal = sys.stderr.isatty()

    def line(self, done: int) -> str:
        """The state as text: ``1,200 of 5,000 users (24 %), 310 users/s, 4 s, 12 s left``.

        Args:
            done: how many users are done.
        """
        seconds = max(self._now() - self._began, 1e-9)
        left = spoken((self._total - done) * seconds / done) if done else "?"
        return (
            f"{done:,} of {self._total:,} users{self._share} ({100 * done // max(self._total, 1)} %), "
            f"{done / seconds:,.{0 if done > 10 * seconds else 1}f} users/s, {spoken(seconds)}, {left} left"
        )

    def __call__(self, done: int) -> None:
        """Show the state, unless something was shown just before.

        Args:
            done: how many users are done.
        """
        is_last, silence = done >= self._total, self._now() - self._shown
        if self._is_terminal and (is_last or silence >= _UPDATE):
            print(f"\r{self.line(done)}\033[K", end="\n" if is_last else "", file=sys.stderr, flush=True)
        elif not self._is_terminal and silence >= _SILENCE:
            logger.info("%s", self.line(done))
        else:
            return
        self._shown = self._now()
