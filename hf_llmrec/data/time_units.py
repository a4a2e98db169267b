"""Timestamps in whatever unit -> seconds."""

from __future__ import annotations

import logging

import numpy as np
import pyarrow as pa

logger = logging.getLogger(__name__)

# Units, the largest first, and how many seconds (or how many to a second) they are.
SECONDS = {"D": (86_400, 1), "s": (1, 1), "ms": (1, 10**3), "us": (1, 10**6), "ns": (1, 10**9)}
NAMES = {"D": "days", "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
# From these magnitudes on a number is of the unit: as seconds they would lie beyond the year 5000.
_MAGNITUDES = np.array(["s", "ms", "us", "ns"])
_BEGINS = np.array([1e11, 1e14, 1e17])
# Days since 1970, of the years 1980 to 2099. As seconds, a whole log would lie within half a day of 1970-01-01.
_FIRST_DAY, _LAST_DAY = 3_652, 47_482


def units_of(times: np.ndarray) -> np.ndarray:
    """``s``, ``ms``, ``us`` or ``ns`` of each time by its magnitude, str (n,).

    Args:
        times: int64 or float64 (n,).
    """
    # As floats: the absolute value of the smallest int64 is none.
    return _MAGNITUDES[np.searchsorted(_BEGINS, np.abs(times.astype(np.float64)), side="right")]


def may_be_days(times: np.ndarray) -> np.ndarray:
    """Whether each time, as a number of days, lies in the years 1980 to 2099, bool (n,)."""
    return (times >= _FIRST_DAY) & (times <= _LAST_DAY)


def detect_unit(times: np.ndarray, source: str) -> str:
    """``D``, ``s``, ``ms``, ``us`` or ``ns``, by magnitude.

    Args:
        times: int64 (n,). source: for errors.

    Raises:
        ValueError: some values are of one magnitude and some of another; names a row of each.
    """
    if not len(times):
        return "s"
    if may_be_days(times).all():
        return "D"
    sizes = np.abs(times.astype(np.float64))
    # Zeros stand for unknown times in some logs.
    largest, smallest = int(sizes.argmax()), int(np.where(sizes > 0, sizes, np.inf).argmin())
    unit, other = (str(found) for found in units_of(times[[largest, smallest]]))
    if sizes[smallest] > 0 and other != unit:
        raise ValueError(
            f"{source}: column 'timestamp': row {largest} ({times[largest]}) looks like {NAMES[unit]}, row {smallest} "
            f"({times[smallest]}) like {NAMES[other]}: bring them to seconds, or state time_unit"
        )
    return unit


def to_seconds(times: np.ndarray, unit: str) -> np.ndarray:
    """int64 (n,) seconds, rounded down, of times in ``unit``.

    Raises:
        ValueError: an unknown unit.
    """
    if unit not in SECONDS:
        raise ValueError(f"time_unit must be one of {sorted(SECONDS)}, got {unit!r}")
    factor, divisor = SECONDS[unit]
    return times * factor // divisor


def timestamp_columns(
    tables: dict[str, tuple[pa.Table, str]], time_unit: str | None = None
) -> dict[str, tuple[np.ndarray, str]]:
    """Raw int64 timestamps and their unit, of the tables that have the column.

    Columns with a time type are in microseconds. Of integers, ``time_unit`` is the unit; without it, it is detected for
    each table, and days only where no other table has small numbers too, which are then all taken for seconds.

    Args:
        tables: by name, the table and what errors call it.
    """
    found, detected = {}, set()
    for name, (table, source) in tables.items():
        if "timestamp" not in table.column_names:
            continue
        column = table.column("timestamp")
        times = column.cast(pa.int64()).to_numpy()
        if pa.types.is_timestamp(column.type):
            found[name] = times, "us"
            continue
        if time_unit is None:
            detected.add(name)
        found[name] = times, time_unit or detect_unit(times, source)
    # Counted from the beginning of something: a log whose other tables have no days either.
    small = any(
        unit == "s" and len(times) and np.abs(times).max() < _FIRST_DAY * 86_400 for times, unit in found.values()
    )
    for name in detected:
        times, unit = found[name]
        if unit == "D" and small:
            found[name] = times, "s"
        elif unit != "s":
            logger.warning("%s: timestamps are taken for %s and stored as seconds", tables[name][1], NAMES[unit])
    return found
