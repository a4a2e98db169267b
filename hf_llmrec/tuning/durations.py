"""Durations as people write them."""

from __future__ import annotations

import re

_PARTS = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s)?")


def seconds_of(text: str | float, name: str = "budget") -> float:
    """Read a duration.

    Args:
        text: hours, minutes and seconds, such as ``2h``, ``30m``, ``1h30m`` or ``90s``, or a number of seconds.
        name: of the parameter, for errors.

    Returns:
        seconds, more than 0.

    Raises:
        ValueError: it is no duration, or not positive.

    Example:
        ```python
        seconds_of("1h30m")  # 5400.0
        ```
    """
    words = re.sub(r"\s", "", str(text)).lower()
    try:
        seconds = float(words)
    except ValueError:
        match = _PARTS.fullmatch(words)
        if match is None or not words:
            raise ValueError(f"{name} must be a duration such as 2h, 30m, 1h30m or 90s, got {text!r}") from None
        seconds = sum(float(part or 0) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True))
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{name} must be more than 0 seconds, got {text!r}")
    return seconds
