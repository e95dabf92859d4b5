"""Rates somebody is owed: the generic cell rate algorithm, in the open. lua/admit.lua is this, inside Redis.

GCRA as a virtual schedule (ITU-T I.371, annex A): a limit is one number, the theoretical arrival time (TAT) of
the next request if all came evenly. A request at ``now`` conforms while ``TAT - (burst - 1) * interval <= now``;
spending moves the TAT by one interval. All times are integer microseconds on one clock, the store's.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

SECOND = 1_000_000
LATE = SECOND // 5
"""By so much may a booked slot come before its turn among what was really sent: what the way back through the broker
varies by. It is what a receiver may see on top of burst and rate."""

ERA = "~"
"""Between the name of a limit and its era, in its key."""

MOST_BURST = 1_000_000
LONGEST_INTERVAL = 366 * 86_400 * SECOND
PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)\s*/\s*(second|minute|hour|day)(?:\s+burst\s+(\d{1,12}))?")


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``burst`` at once and one each ``interval`` µs on average. ``name`` says whose limit it is."""

    name: str
    interval: int
    burst: int
    era: str = ""
    """Of a rate that replaces another one for a while: since when. Its bookings mean nothing at any other rate."""

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
        if match is None or float(match[1]) <= 0:
            raise ValueError(f"{text!r} is no rate: write it like 600/minute burst 60, or off")
        limit = cls.per(name, float(match[1]), PERIODS[match[2]], int(match[3] or 1))
        if not 1 <= limit.burst <= MOST_BURST or limit.interval > LONGEST_INTERVAL:
            raise ValueError(f"{text!r}: a burst is 1 to {MOST_BURST:,}, and a rate at least one in a year")
        return limit

    @property
    def text(self) -> str:
        """As ``parse`` reads it."""
        periods = [it for it in PERIODS if it != "second"]
        period = next((it for it in periods if PERIODS[it] * SECOND >= self.interval), periods[-1])
        return f"{PERIODS[period] * SECOND / self.interval:.10g}/{period} burst {self.burst}"

    @property
    def key(self) -> str:
        """What its arrivals and bookings are kept under. No name has a tilde."""
        return f"{self.name}{ERA}{self.era}" if self.era else self.name

    @property
    def tolerance(self) -> int:
        """How far ahead of an even schedule a request may come, µs."""
        return (self.burst - 1) * self.interval


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Of one limit: theoretical arrival times, µs by its own clock, which is ``skew`` ahead of the store's.

    ``booked``: after all that is spent or booked, so that who comes later waits its turn. ``sent``: after what was
    really sent, so that slots which were redeemed late do not come on top of those that are in time.
    """

    booked: int
    sent: int
    skew: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What a limit allows at a moment."""

    tokens: int
    """Sends that it would let pass at once."""
    delay: int
    """µs until it lets one pass."""
    booked: int
    """Slots that are booked and not sent yet."""


def standing(limit: Limit, arrivals: Arrivals, now: int) -> Standing:
    """What ``limit`` allows at ``now``, µs by the store's clock."""
    at = now + arrivals.skew
    ahead = max(arrivals.booked, at) - at
    tokens = max(0, min(limit.burst, (limit.tolerance - ahead) // limit.interval + 1))
    waiting = max(0, arrivals.booked - max(arrivals.sent, at))
    return Standing(tokens, max(0, ahead - limit.tolerance), -(-waiting // limit.interval))


@dataclass(frozen=True, slots=True)
class Booking:
    """One slot that a refusal reserved: on which limit (its key), and when it is due (µs by that limit's own clock)."""

    limit: str
    due: int


@dataclass(frozen=True, slots=True)
class Spent:
    """All limits let it pass; ``arrivals`` are theirs from now on, by key."""

    arrivals: dict[str, Arrivals]


@dataclass(frozen=True, slots=True)
class Wait:
    """Refused by ``limit``: come back in ``delay`` µs. ``booking`` is reserved; ``arrivals`` that changed, by key."""

    delay: int
    limit: str
    booking: Booking | None
    arrivals: dict[str, Arrivals]


@dataclass(frozen=True, slots=True)
class _Now:
    """One limit at this moment, by its own clock."""

    limit: Limit
    arrivals: Arrivals
    now: int
    booked: bool
    set_back: bool
    """The store's clock was, since something was sent."""

    @classmethod
    def at(cls, limit: Limit, known: Arrivals | None, now: int, booking: Booking | None) -> "_Now":
        arrivals = known or Arrivals(0, 0)
        # More was never sent ahead of time: the store's clock was set back, and the limit's own goes on.
        ahead = arrivals.sent - limit.tolerance - LATE - limit.interval - now
        set_back = ahead > arrivals.skew
        if set_back:
            arrivals = replace(arrivals, skew=ahead)
        booked = known is not None and booking is not None and booking.limit == limit.key
        return cls(limit, arrivals, now + arrivals.skew, booked, set_back)

    @property
    def redeems(self) -> bool:
        """A booked slot is good however late it is redeemed, unless more was sent meanwhile than is due."""
        return self.booked and self.arrivals.sent - self.limit.tolerance - LATE <= self.now

    @property
    def delay(self) -> int:
        """Until a slot is free that nobody has booked."""
        return max(self.arrivals.booked, self.now) - self.limit.tolerance - self.now

    @property
    def after_booking(self) -> Arrivals:
        return replace(self.arrivals, booked=max(self.arrivals.booked, self.now) + self.limit.interval)

    @property
    def after_sending(self) -> Arrivals:
        arrivals = self.arrivals if self.redeems else self.after_booking
        sent = max(arrivals.sent, self.now) + self.limit.interval
        return replace(arrivals, booked=max(arrivals.booked, sent), sent=sent)


def spend(
    limits: Sequence[Limit], arrivals: Mapping[str, Arrivals], now: int, booking: Booking | None, horizon: int
) -> Spent | Wait:
    """Spend every limit at once, or none and book a slot on the one that makes us wait longest.

    Booking on all of them would let one slow destination eat its organization's rate. Beyond ``horizon`` µs
    nothing is booked: come back then and ask anew. Of any window of ``w`` µs: at most burst + (w + LATE) / interval.
    """
    asked = [_Now.at(limit, arrivals.get(limit.key), now, booking) for limit in limits]
    moved = {it.limit.key: it.arrivals for it in asked if it.set_back}
    for it in asked:
        if it.booked and booking is not None and booking.due > it.now:
            return Wait(booking.due - it.now, it.limit.name, booking, moved)
    slowest = max((it for it in asked if not it.redeems), key=lambda it: it.delay, default=None)
    if slowest is None or slowest.delay <= 0:
        return Spent({it.limit.key: it.after_sending for it in asked})
    if slowest.delay > horizon:
        return Wait(horizon, slowest.limit.name, None, moved)
    key, delay = slowest.limit.key, slowest.delay
    changed = moved | {key: slowest.after_booking}
    return Wait(delay, slowest.limit.name, Booking(key, slowest.now + delay), changed)
