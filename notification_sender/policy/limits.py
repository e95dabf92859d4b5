"""Rates somebody is owed: the generic cell rate algorithm, in the open. lua/admit.lua is this, inside Redis.

GCRA as a virtual schedule (ITU-T I.371, annex A): a limit is one number, the theoretical arrival time (TAT) of
the next request if all came evenly. A request at ``now`` conforms while ``TAT - (burst - 1) * interval <= now``;
spending moves the TAT by one interval. All times are integer microseconds on one clock, the store's.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

SECOND = 1_000_000
LATE = SECOND // 4
"""A booking may be redeemed this late at least: what the way back through the broker takes."""

PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(second|minute|hour|day)(?:\s+burst\s+(\d+))?")


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``burst`` at once and one each ``interval`` µs on average. ``name`` says whose limit it is."""

    name: str
    interval: int
    burst: int

    @classmethod
    def per(cls, name: str, amount: float, seconds: float, burst: int) -> "Limit":
        """``amount`` in ``seconds``. The interval is rounded up: never faster than what was agreed."""
        return cls(name, math.ceil(seconds * SECOND / amount), burst)

    @classmethod
    def parse(cls, name: str, text: str) -> "Limit | None":
        """Read ``600/minute burst 60``; ``off`` is None.

        Raises:
            ValueError: another form.

        """
        if text.strip() == "off":
            return None
        match = _RATE.fullmatch(text.strip())
        if match is None or float(match[1]) <= 0 or match[3] == "0":
            raise ValueError(f"{text!r} is no rate: write it like 600/minute burst 60, or off")
        return cls.per(name, float(match[1]), PERIODS[match[2]], int(match[3] or 1))

    @property
    def tolerance(self) -> int:
        """How far ahead of an even schedule a request may come, µs."""
        return (self.burst - 1) * self.interval

    @property
    def grace(self) -> int:
        """How late a booked slot may still be redeemed, µs: later than a burst it would come on top of one."""
        return max(self.burst * self.interval, LATE)


@dataclass(frozen=True, slots=True)
class Booking:
    """One slot that a refusal reserved: on which limit, and when it is due (µs)."""

    limit: str
    due: int


@dataclass(frozen=True, slots=True)
class Spent:
    """All limits let it pass; these are their new TATs (µs), by name, without the one a booking paid."""

    tats: dict[str, int]


@dataclass(frozen=True, slots=True)
class Wait:
    """Refused by ``limit``: come back at ``until`` (µs). ``booking`` was reserved, and moves that TAT to ``tat``."""

    until: int
    limit: str
    booking: Booking | None
    tat: int | None


def spend(
    limits: Sequence[Limit], tats: dict[str, int], now: int, booking: Booking | None, horizon: int
) -> Spent | Wait:
    """Spend every limit at once, or none and book a slot on the one that makes us wait longest.

    Booking on all of them would let one slow destination eat its organization's rate. Beyond ``horizon`` µs
    nothing is booked: come back then and ask anew.
    """
    if booking is not None and now < booking.due:
        return Wait(booking.due, booking.limit, booking, None)
    unpaid = [limit for limit in limits if not _redeems(limit, booking, now)]
    current = {limit.name: max(tats.get(limit.name, now), now) for limit in unpaid}
    allowed = {limit.name: current[limit.name] - limit.tolerance for limit in unpaid}
    slowest = max(unpaid, key=lambda limit: allowed[limit.name], default=None)
    if slowest is None or allowed[slowest.name] <= now:
        return Spent({limit.name: current[limit.name] + limit.interval for limit in unpaid})
    due = allowed[slowest.name]
    if due - now > horizon:
        return Wait(now + horizon, slowest.name, None, None)
    return Wait(due, slowest.name, Booking(slowest.name, due), current[slowest.name] + slowest.interval)


def _redeems(limit: Limit, booking: Booking | None, now: int) -> bool:
    return booking is not None and booking.limit == limit.name and now - booking.due <= limit.grace
