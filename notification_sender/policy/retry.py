"""When to try again: the schedule between attempts, the backoff while our own platform is unwell, others' wishes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime

JITTER = 0.1
"""Each delay is spread by this share up and down: a fleet that failed together must not return together."""

MAX_RETRY_AFTER = timedelta(hours=24).total_seconds()
LONGEST = timedelta(days=3650).total_seconds()
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
    if seconds > LONGEST:
        raise ValueError(f"{text!r} is too long, at most 3650d")
    return seconds


@dataclass(frozen=True, slots=True)
class Schedule:
    """The delays between attempts, in seconds.

    The default, from Standard Webhooks 1.0.0 (attempt: seconds after the one before, then in all):

    ======= === ==== ===== ===== ===== ====== ====== ====== ======
    2       3   4    5     6     7     8      9      10
    5s      5m  30m  2h    5h    10h   14h    20h    24h
    5s      5m  35m  2.6h  7.6h  17.6h 31.6h  51.6h  75.6h
    ======= === ==== ===== ===== ===== ====== ====== ====== ======
    """

    delays: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> "Schedule":
        """Read ``5s 5m 30m``.

        Raises:
            ValueError: empty, or one of them is no duration.

        """
        delays = tuple(duration(word) for word in text.split())
        if not delays:
            raise ValueError("an empty schedule: name at least one delay, as in 5s 5m 30m")
        return cls(delays)

    def after(self, attempt: int, dice: float, retry_after: float | None = None) -> float | None:
        """Seconds until the attempt after ``attempt`` (1 is the first), None where there is no further one.

        ``dice`` is uniform in [0, 1). A recipient's ``retry_after`` lengthens the delay, up to a day, never
        shortens it.
        """
        if attempt > len(self.delays):
            return None
        delay = self.delays[attempt - 1] * (1 + JITTER * (2 * dice - 1))
        return max(delay, min(retry_after or 0.0, MAX_RETRY_AFTER))


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a notification is tried: by the schedule of its channel, and in no case once it is ``max_age`` s old."""

    schedules: Mapping[str, Schedule]
    max_age: float

    def over(self, age: float) -> bool:
        """Whether it is too old for anything. ``age``: seconds since its unit was first seen, and due."""
        return age > self.max_age

    def spent(self, channel: str, age: float) -> bool:
        """Whether it is older than its whole schedule: whoever could not try it until now tries it as that says."""
        return age > sum(self.schedules[channel].delays) * (1 + JITTER)

    def after(
        self, channel: str, attempt: int, *, age: float, dice: float, retry_after: float | None = None
    ) -> float | None:
        """Seconds as ``Schedule.after``; None also where the next attempt would come too late."""
        delay = self.schedules[channel].after(attempt, dice, retry_after)
        return None if delay is None or self.over(age + delay) else delay


BACKOFF_BASE = 1.0
BACKOFF_CAP = 60.0


def backoff(attempt: int, dice: float) -> float:
    """Seconds to wait after the ``attempt``-th trouble of our own APIs: full jitter under a cap that doubles.

    Caps: 1, 2, 4, 8, 16, 32, 60, 60 … Full jitter (uniform from nothing to the cap) spreads a backlog best;
    see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    cap = min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(attempt - 1, 10))
    return dice * cap


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait by a ``Retry-After`` (RFC 9110, section 10.2.3): seconds, or a date. What is neither, or past,
    is None.
    """
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:10])
    try:
        moment = parsedate_to_datetime(value)
        # HTTP's dates are UTC also where they do not say so (RFC 9110, section 5.6.7).
        wish = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return wish if wish > 0 else None
