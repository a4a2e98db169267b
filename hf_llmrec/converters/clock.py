"""Converts the times of a log to seconds; their unit is detected in the first part of the log."""

from __future__ import annotations

import numpy as np

from ..data.time_units import NAMES, SECONDS, may_be_days, units_of


class TimeUnitError(ValueError):
    """Times have different units.

    Args:
        message: error message.
        place: index of the first time whose unit differs.

    Attributes:
        place: index of the first time whose unit differs.
    """

    def __init__(self, message: str, place: int):
        super().__init__(message)
        self.place = place


class Clock:
    """Converts the times of one log to seconds, part by part.

    The unit of all parts is that of the first, which is detected from the magnitude of its times (`data.time_units`);
    it is days if all times of the first part may be days.

    Args:
        unit: unit of the times; ``None``: detected.

    Attributes:
        unit: ``D``, ``s``, ``ms``, ``us`` or ``ns``; ``None`` before the first time.
    """

    def __init__(self, unit: str | None = None):
        self.unit, self._is_given = unit, unit is not None

    def seconds(self, times: np.ndarray) -> np.ndarray:
        """int64 (n,), seconds since 1970.

        Args:
            times: float64 (n,), times as `time_value` returns them, without NaN.

        Raises:
            TimeUnitError: the times have different units.
        """
        places = np.flatnonzero(times)  # 0 is the same in all units
        nonzero = times[places]
        if not len(nonzero):
            return times.astype(np.int64)
        units, is_day = units_of(nonzero), may_be_days(nonzero)
        if self.unit is None:
            self.unit = "D" if is_day.all() else str(units[0])
        odd = ~is_day if self.unit == "D" else units != self.unit
        if odd.any() and not self._is_given:
            place = int(places[odd.argmax()])
            count = f"{int(odd.sum())} of {len(nonzero)} are not in {NAMES[self.unit]}"
            raise TimeUnitError(f"times in different units: {count}; the first is {times[place]:.15g}", place)
        factor, divisor = SECONDS[self.unit]
        return np.floor(times * factor / divisor).astype(np.int64)
