"""The unit of a log's times: found in its first part, and the same in all others."""

from __future__ import annotations

import numpy as np

from .times import LATEST, UNITS

_DAY = 86_400
_DAYS = (7_305, LATEST // _DAY)  # from 1990 on


class TimeUnitError(ValueError):
    """Times in different units. ``place``: of the first that is in another than the others."""

    def __init__(self, message: str, place: int):
        super().__init__(message)
        self.place = place


class Clock:
    """Turns the times of one log into seconds, part by part. The unit is that of the first part.

    Numbers up to the year 2100 in seconds are seconds, or days if all of the first part's lie between 1990 and 2100 as
    days; larger ones are milliseconds, microseconds or nanoseconds.

    Attributes:
        unit: ``None`` before the first time.
    """

    def __init__(self):
        self.unit: str | None = None

    def seconds(self, times: np.ndarray) -> np.ndarray:
        """Seconds since 1970, int64 (n,).

        Args:
            times: float64 (n,), of `time_value`, without NaN.

        Raises:
            TimeUnitError: they are in different units.
        """
        places = np.flatnonzero(times)  # 0 is the same in all units
        size = np.abs(times[places])
        if not len(size):
            return times.astype(np.int64)
        limits = LATEST * np.array([*UNITS.values()][:-1], dtype=np.float64)
        names = np.array([*UNITS])[np.searchsorted(limits, size)]
        is_day = (size >= _DAYS[0]) & (size <= _DAYS[1])
        if self.unit is None:
            self.unit = "days" if is_day.all() else str(names[0])
        odd = ~is_day if self.unit == "days" else names != self.unit
        if odd.any():
            place = int(places[odd.argmax()])
            count = f"{int(odd.sum())} of {len(size)} are not in {self.unit}"
            raise TimeUnitError(f"times in different units: {count}; the first is {times[place]:.15g}", place)
        if self.unit == "days":
            return np.floor(times * _DAY).astype(np.int64)
        return np.floor(times / UNITS[self.unit]).astype(np.int64)
