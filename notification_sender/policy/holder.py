"""One name that holds slots: how long it keeps them, and how many it has given back."""

import math
from itertools import islice

from notification_sender.policy.pacing import Pacer

QUICK = 1.0
"""Seconds. A name that gives its slots back within this time keeps no other out for long, however many it holds. On an
overloaded machine even work that waits for nothing may take half of it.
"""

UNKNOWN = 0.25
UNTRIED = 2 * UNKNOWN
"""Seconds after which a name asks again of which no work has ended yet, and for how long it may do so."""

MOST_BEYOND = 1_000
"""Slots beyond its share up to which a quick name grows: more than a process has."""

WEIGHT = 1 / 8
"""Of the latest value in a mean."""

ARREARS = 0.5
"""A name is behind if less than this part of its notifications was sent lately and the rest was deferred."""


class Holder:
    """The slots of one name: since when each is held, by ticket, the oldest first."""

    __slots__ = ("_mean", "_put_off", "_returned", "_sent", "full_at", "holds", "inside", "returns", "sending")

    def __init__(self) -> None:
        self.holds: dict[int, float] = {}
        self.inside: dict[int, float] = {}
        """Since when each delivery is worked on, by ticket, whether it holds a slot by now or not; the oldest first."""
        self.sending = 0
        """How many of them have held a slot."""
        self.returns = Pacer()
        self.full_at = -math.inf
        """When it last filled its share."""
        self._returned = 0
        """Slots that it has given back since then, or shortly after."""
        self._mean = math.nan
        """Duration of its holds that ended, s."""
        self._sent, self._put_off = 1.0, 0.0
        """The share that was sent lately; and until when the rest is deferred."""

    @property
    def is_slow(self) -> bool:
        return self._mean > QUICK

    def beyond(self, now: float) -> int:
        """How many slots it may hold beyond its share while it is quick: as many as it has given back since its share
        was full. So what was quick before and hangs now does not hold all slots before that shows.
        """
        if now - self.full_at > QUICK:
            self._returned = 0
        return self._returned

    def is_full(self, held: int, own: int, now: float) -> bool:
        """Whether the ``held`` slots are all that it may hold while it is quick."""
        if held < own + self.beyond(now):
            return False
        self.full_at = now
        return True

    def record_return(self, held: int, own: int, now: float) -> None:
        """One of the ``held`` slots is given back."""
        if held >= own:
            self.full_at = now
        self._returned = min(self.beyond(now) + 1, MOST_BEYOND)

    def record_hold(self, seconds: float) -> None:
        self._mean = seconds if math.isnan(self._mean) else self._mean + WEIGHT * (seconds - self._mean)

    def record_sent(self) -> bool:
        """One left. Returns whether it held a slot: if not, how long it was worked on is all that shows how long a
        slot is held.
        """
        sent, self.sending = self.sending > 0, min(max(self.sending - 1, 0), len(self.inside))
        return sent

    def record_result(self, put_off: float, now: float) -> None:
        self._sent += WEIGHT * ((put_off == 0) - self._sent)
        self._put_off = max(self._put_off, now + put_off)

    def seconds_behind(self, now: float) -> float:
        """For how many seconds it is behind, 0.0 if it is not, or hardly."""
        wait = self._put_off - now
        return wait if self._sent < ARREARS and wait > QUICK else 0.0

    def expected_hold(self, half: int, now: float, ignored_before: float, *, begun: bool = False) -> float | None:
        """How long it is expected to hold a slot, s; None: not known yet.

        The mean only knows holds that ended. Work that hangs shows by its age, once it holds more than ``half``: also
        what hangs before it holds a slot. ``begun``: only those count that hold one.
        """
        age = self._age(half, now, ignored_before, begun=begun)
        if math.isnan(self._mean):
            return QUICK + age if age > UNTRIED else None
        return max(age, self._mean) if age > QUICK else self._mean

    def is_known(self, half: int, now: float, ignored_before: float) -> bool:
        """Whether ``expected_hold`` is the duration of holds that ended."""
        return not math.isnan(self._mean) and self._age(half, now, ignored_before) <= max(QUICK, self._mean)

    def _age(self, half: int, now: float, ignored_before: float, *, begun: bool = False) -> float:
        since = next(islice(self.holds.values(), half, None), now)
        if not begun:
            since = min(since, next(islice(self.inside.values(), half, None), now))
        return now - max(since, ignored_before)
