"""Durations as settings and recipes write them: ``250ms``, ``5s``, ``1.5h``, ``7d``."""

import re
from datetime import timedelta

LONGEST_DURATION = timedelta(days=3650).total_seconds()
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def duration(text: str) -> float:
    """Seconds of ``250ms``, ``5s``, ``1.5h``, ``7d``.

    Raises:
        ValueError: another form, or more than ten years.

    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration: write a number and ms, s, m, h or d, as in 5s or 1.5h")
    seconds = float(match[1]) * UNITS[match[2]]
    if seconds > LONGEST_DURATION:
        raise ValueError(f"{text!r} is too long, at most 3650d")
    return seconds
