"""Times of raw files in whatever unit they are -> seconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

# The year 2100. Later times in one unit are times after 17 February 1970 in the next smaller one.
_LATEST = 4_102_444_800
_UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_DAY = 86_400
_DAYS = (7_305, _LATEST // _DAY)  # from 1990 on


def time_value(value: Any) -> float:
    """A number as it stands, whatever its unit; of an ISO date or time, seconds since 1970, in UTC if it names no zone.

    Args:
        value: number, number as text, or ISO date or time (``2009-09-13T00:00:00Z``, ``20090913``).

    Raises:
        ValueError: it is none of these, or beyond the year 2100 in every unit.
    """
    if isinstance(value, str):
        number = _text_value(value.strip())
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
    else:
        raise ValueError(f"no time: {value!r}")
    if not abs(number) <= _LATEST * _UNITS["nanoseconds"]:  # NaN is none, either
        raise ValueError(f"no time: {value!r}")
    return number


def _text_value(text: str) -> float:
    is_date = len(text) == 8 and text.isdecimal() and text[:2] in ("19", "20")
    try:
        if not is_date:
            return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(f"no time: {text[:80]!r}") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


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
        limits = _LATEST * np.array([*_UNITS.values()][:-1], dtype=np.float64)
        names = np.array([*_UNITS])[np.searchsorted(limits, size)]
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
        return np.floor(times / _UNITS[self.unit]).astype(np.int64)
