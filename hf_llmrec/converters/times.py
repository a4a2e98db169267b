"""Times as raw files write them -> numbers; `clock` makes seconds of these."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

# The year 2100 in nanoseconds.
_LATEST = 4_102_444_800 * 10**9


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
    if not abs(number) <= _LATEST:  # NaN is none, either
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
