"""Converts times as written in raw files to numbers; `clock` converts these to seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

# The beginning of the year 2100, in nanoseconds since 1970.
_LATEST = 4_102_444_800 * 10**9


def time_value(value: Any) -> float:
    """Convert a time to a number.

    Args:
        value: a number, a number as text, or an ISO date or time (``2009-09-13T00:00:00Z``, ``20090913``).

    Returns:
        a number unchanged, in whatever unit it is; an ISO date or time as seconds since 1970, in UTC if it has no time
        zone.

    Raises:
        ValueError: none of these, or beyond the year 2100 in every unit.
    """
    if isinstance(value, str):
        number = _text_value(value.strip())
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
    else:
        raise ValueError(f"no time: {value!r}")
    if not abs(number) <= _LATEST:  # written so that NaN is refused, too
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
        parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(f"no time: {text[:80]!r}") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
