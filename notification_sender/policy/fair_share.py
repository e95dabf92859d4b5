"""How many shared slots one name (an organization, a destination) may hold, so that slow ones leave room for others.

Slowness is measured, not configured: an organization whose endpoints answer within 1 s may use every slot.
"""

import math
from collections import OrderedDict
from itertools import count, islice

from notification_sender.policy.pacing import LONGEST, Pacer

QUICK = 1.0
"""Seconds. A name that gives its slots back within this time keeps no other out for long, however many it holds. On an
overloaded machine even work that waits for nothing may take half of it.
"""

UNKNOWN = 0.25
UNTRIED = 2 * UNKNOWN
"""Seconds after which a name asks again of which no work has ended yet, and for how long it may do so."""

ARREARS = 0.5
BEHIND = 4
"""A name is behind if less than ``ARREARS`` of its notifications were sent lately and the rest was deferred. It gets
1/``BEHIND`` of its own share: most of what it is given now would only be deferred, and that costs work too.
"""

FEW = 8
"""Slots that a name may always hold, as long as one is left to others: a fraction of a few slots would be none."""

WEIGHT = 1 / 8
"""Of the latest value in a mean."""

KEPT = 60.0
MOST_KEPT = 10_000
"""Seconds for which a name without slots is remembered, and how many such names are: about 5 MB."""


class FairShare:
    """One name may hold ``share`` (a fraction) of ``total`` slots, at least one; more only while it is quick.

    Times are monotonic, s; ``dice`` is uniform in [0, 1).
    """

    def __init__(self, total: int, share: float) -> None:
        self._share = share
        self.divide(total)
        self._names: dict[str, _Holder] = {}
        self._idle: OrderedDict[str, float] = OrderedDict()
        """Names that hold nothing, with the time since when: the longest first."""
        self._tickets = count()
        self._ignored_before = -math.inf

    def divide(self, total: int) -> None:
        """Share ``total`` slots from now on. A share of more than there are would let one slow name hold them all."""
        self._own = max(int(total * self._share), min(total - 1, FEW), 1)

    def delay_for(self, name: str, *, now: float, dice: float) -> float:
        """0.0: it may hold one more. Else the delay in seconds, so that deferred deliveries come back about as fast as
        slots become free.
        """
        holder = self._names.get(name)
        if holder is None or now <= self._ignored_before:
            return 0.0
        if (seconds_behind := holder.seconds_behind(now)) > 0 and len(holder.holds) >= self._own / BEHIND:
            return min(seconds_behind, LONGEST) * (1 + dice) / 2
        if len(holder.holds) < self._own:
            return 0.0
        if (hold := holder.expected_hold(self._own, now, self._ignored_before)) is None:
            return UNKNOWN
        return 0.0 if hold <= QUICK else holder.returns.next_delay(hold / self._own, now=now, dice=dice)

    def acquire(self, name: str, *, now: float) -> int:
        """It holds one more from now on. Returns the ticket for ``release``."""
        holder = self._names.get(name)
        if holder is None:
            self._forget(now)
            holder = self._names[name] = _Holder()
        elif not holder.holds:
            del self._idle[name]
        ticket = next(self._tickets)
        holder.holds[ticket] = now
        return ticket

    def release(self, name: str, ticket: int, *, now: float) -> None:
        """It gives one back."""
        holder = self._names[name]
        holder.record_hold(now - max(holder.holds.pop(ticket), self._ignored_before))
        if not holder.holds:
            self._idle[name] = now

    def record_deferral(self, name: str, *, put_off: float, now: float) -> None:
        """One notification of it was sent (0.0), or deferred for so many seconds by a limit or its receiver.

        Until then a name that is behind need not try again: that would only be deferred, too.
        """
        if holder := self._names.get(name):
            holder.record_result(put_off, now)

    def ignore_before(self, before: float) -> None:
        """Ignore the time until ``before``: slots were held for reasons of ours, so no name counts as slow for it."""
        self._ignored_before = max(self._ignored_before, before)

    def _forget(self, now: float) -> None:
        while self._idle and (len(self._idle) >= MOST_KEPT or next(iter(self._idle.values())) < now - KEPT):
            name, _ = self._idle.popitem(last=False)
            del self._names[name]


class _Holder:
    """The slots of one name: since when each is held, by ticket, the oldest first."""

    __slots__ = ("_mean", "_put_off", "_sent", "holds", "returns")

    def __init__(self) -> None:
        self.holds: dict[int, float] = {}
        self.returns = Pacer()
        self._mean = math.nan
        """Duration of its holds that ended, s."""
        self._sent, self._put_off = 1.0, 0.0
        """The share that was sent lately; and until when the rest is deferred."""

    def record_hold(self, seconds: float) -> None:
        self._mean = seconds if math.isnan(self._mean) else self._mean + WEIGHT * (seconds - self._mean)

    def record_result(self, put_off: float, now: float) -> None:
        self._sent += WEIGHT * ((put_off == 0) - self._sent)
        self._put_off = max(self._put_off, now + put_off)

    def seconds_behind(self, now: float) -> float:
        """For how many seconds it is behind, 0.0 if it is not, or hardly."""
        wait = self._put_off - now
        return wait if self._sent < ARREARS and wait > QUICK else 0.0

    def expected_hold(self, own: int, now: float, ignored_before: float) -> float | None:
        """How long it is expected to hold a slot, s; None: not known yet.

        The mean only knows holds that ended. Work that hangs shows by its age, once it holds half a share.
        """
        age = now - max(next(islice(self.holds.values(), own // 2, None), now), ignored_before)
        if math.isnan(self._mean):
            return QUICK + age if age > UNTRIED else None
        return max(age, self._mean) if age > QUICK else self._mean
