"""Detects the unit of timestamps and converts them to seconds."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

# Units from large to small: seconds = time * factor // divisor, for the pair (factor, divisor).
SECONDS = {"D": (86_400, 1), "s": (1, 1), "ms": (1, 10**3), "us": (1, 10**6), "ns": (1, 10**9)}
NAMES = {"D": "days", "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
# Absolute values from _BEGINS[i] on have unit _MAGNITUDES[i + 1]: as seconds they would lie beyond the year 5000.
_MAGNITUDES = np.array(["s", "ms", "us", "ns"])
_BEGINS = np.array([1e11, 1e14, 1e17])
# Days since 1970 for the years 1980 to 2099. As seconds, the entire log would lie within half a day of 1970-01-01.
_FIRST_DAY, _LAST_DAY = 3_652, 47_482


def units_of(times: np.ndarray) -> np.ndarray:
    """str (n,), the unit of each time by its magnitude: ``s``, ``ms``, ``us`` or ``ns``.

    Args:
        times: int64 or float64 (n,), times since 1970.
    """
    # As floats, because the absolute value of the smallest int64 is not an int64.
    return _MAGNITUDES[np.searchsorted(_BEGINS, np.abs(times.astype(np.float64)), side="right")]


def may_be_days(times: np.ndarray) -> np.ndarray:
    """bool (n,), whether each time, read as a number of days, lies in the years 1980 to 2099.

    Args:
        times: int64 or float64 (n,), times since 1970.
    """
    return (times >= _FIRST_DAY) & (times <= _LAST_DAY)


def detect_unit(times: np.ndarray, source: str) -> str:
    """Detect the unit of times by their magnitude: ``D``, ``s``, ``ms``, ``us`` or ``ns``.

    Args:
        times: int64 (n,), times since 1970.
        source: file or table that error messages name.

    Raises:
        ValueError: the values have different magnitudes. The message names a row of each.
    """
    if not len(times):
        return "s"
    if may_be_days(times).all():
        return "D"
    sizes = np.abs(times.astype(np.float64))
    # Zeros are ignored: they stand for missing times in some logs.
    largest, smallest = int(sizes.argmax()), int(np.where(sizes > 0, sizes, np.inf).argmin())
    unit, other = units_of(times[[largest, smallest]]).tolist()
    if sizes[smallest] > 0 and other != unit:
        raise ValueError(
            f"{source}: column 'timestamp': row {largest} ({times[largest]}) looks like {NAMES[unit]}, row {smallest} "
            f"({times[smallest]}) like {NAMES[other]}: bring them to seconds, or state time_unit"
        )
    return unit


def to_seconds(times: np.ndarray, unit: str) -> np.ndarray:
    """int64 (n,), times in seconds, rounded down.

    Args:
        times: int64 (n,), times in ``unit``.
        unit: a key of `SECONDS`.

    Raises:
        ValueError: another unit.
    """
    if unit not in SECONDS:
        raise ValueError(f"time_unit must be one of {sorted(SECONDS)}, got {unit!r}")
    factor, divisor = SECONDS[unit]
    return times * factor // divisor


def timestamp_columns(
    tables: dict[str, tuple[pa.Table, str]], time_unit: str | None = None
) -> dict[str, tuple[np.ndarray, str]]:
    """Read the timestamps of the tables that have some, and determine their units.

    Columns with a time type are in microseconds. The unit of integers is ``time_unit`` or detected per table. Days are
    detected only if no other table has small numbers that are not days; otherwise all of these are taken for seconds.

    Args:
        tables: by name, each table and its source for error messages.
        time_unit: unit of integer timestamps, a key of `SECONDS`; ``None``: detected from their magnitude.

    Returns:
        by name, int64 (n,) timestamps as in the table and their unit.

    Raises:
        ValueError: a table has timestamps of several units.
    """
    import pyarrow as pa  # `import hf_llmrec` imports this file, and does not need it

    columns: dict[str, tuple[np.ndarray, str]] = {}
    detected: set[str] = set()
    for name, (table, source) in tables.items():
        if "timestamp" not in table.column_names:
            continue
        column = table.column("timestamp")
        times = column.cast(pa.int64()).to_numpy()
        if pa.types.is_timestamp(column.type):
            columns[name] = times, "us"
            continue
        if time_unit is None:
            detected.add(name)
        columns[name] = times, time_unit or detect_unit(times, source)
    # Small seconds count from the start of the log, not from 1970; other tables of such a log have no days either.
    has_small_seconds = any(
        unit == "s" and len(times) and np.abs(times).max() < _FIRST_DAY * 86_400 for times, unit in columns.values()
    )
    for name in detected:
        times, unit = columns[name]
        if unit == "D" and has_small_seconds:
            columns[name] = times, "s"
        elif unit != "s":
            logger.warning("%s: timestamps are taken for %s and stored as seconds", tables[name][1], NAMES[unit])
    return columns
