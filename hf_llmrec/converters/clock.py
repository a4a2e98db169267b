"""The unit of a log's times: found in its first part, and the same in all others."""

from __future__ import annotations

import numpy as np

from ..data.time_units import NAMES, SECONDS, may_be_days, units_of


class TimeUnitError(ValueError):
    """Times in different units. ``place``: of the first that is in another than the others."""

    def __init__(self, message: str, place: int):
        super().__init__(message)
        self.place = place


class Clock:
    """Turns the times of one log into seconds, part by part. The unit is that of the first part.

    It is told by magnitude (`data.time_units`), and days are such if all of the first part's may be days.

    Args:
        unit: of the times, which is then not told by their magnitude.

    Attributes:
        unit: ``D``, ``s``, ``ms``, ``us`` or ``ns``; ``None`` before the first time.
    """

    def __init__(self, unit: str | None = None):
        self.unit, self._is_given = unit, unit is not None

    def seconds(self, times: np.ndarray) -> np.ndarray:
        """Seconds since 1970, int64 (n,).

        Args:
            times: float64 (n,), of `time_value`, without NaN.

        Raises:
            TimeUnitError: they are in different units.
        """
        places = np.flatnonzero(times)  # 0 is the same in all units
        known = times[places]
        if not len(known):
            return times.astype(np.int64)
        units, is_day = units_of(known), may_be_days(known)
        if self.unit is None:
            self.unit = "D" if is_day.all() else str(units[0])
        odd = ~is_day if self.unit == "D" else units != self.unit
        if odd.any() and not self._is_given:
            place = int(places[odd.argmax()])
            count = f"{int(odd.sum())} of {len(known)} are not in {NAMES[self.unit]}"
            raise TimeUnitError(f"times in different units: {count}; the first is {times[place]:.15g}", place)
        factor, divisor = SECONDS[self.unit]
        return np.floor(times * factor / divisor).astype(np.int64)
