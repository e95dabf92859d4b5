"""How much of what is shared one name may hold, so that those who are slow leave room for the others.

Whether somebody is slow is not set but seen: a customer whose receivers are quick may have the whole process.
"""

import math
from collections import OrderedDict
from itertools import count, islice

from notification_sender.policy.returns import Returns

QUICK = 0.5
"""Seconds. Who gives back what it holds within these keeps nobody out for long, however much it holds."""

UNKNOWN = 0.25
"""Seconds after which somebody asks again of whom nothing has ended so far: soon it is known how slow it is."""

WEIGHT = 1 / 8
"""Of the latest hold in the mean."""

KEPT = 60.0
MOST_KEPT = 10_000
"""A name that holds nothing is remembered for so many seconds, and so many of them are: about 5 MB."""


class Shares:
    """Of ``total`` one name may hold ``share`` (a part of one, at least 1 of the total); beyond that, only while it
    is quick.

    Times are monotonic, s; ``dice`` is uniform in [0, 1).
    """

    def __init__(self, total: int, share: float) -> None:
        self._own = max(1, int(total * share))
        self._names: dict[str, _Holder] = {}
        self._idle: OrderedDict[str, float] = OrderedDict()
        """Those that hold nothing, since when: the longest first."""
        self._tickets = count()
        self._excused = -math.inf

    def asks(self, name: str, *, now: float, dice: float) -> float:
        """0.0: it may hold one more. Else the seconds to stay away for, so that those who are sent away come back
        about as fast as there is room for them.
        """
        holder = self._names.get(name)
        if holder is None or len(holder.holds) < self._own or now <= self._excused:
            return 0.0
        if (hold := holder.expected(self._own, now, self._excused)) is None:
            return UNKNOWN
        return 0.0 if hold <= QUICK else holder.returns.after(hold / self._own, now=now, dice=dice)

    def enters(self, name: str, *, now: float) -> int:
        """It holds one more, from now on, under the ticket that is returned."""
        holder = self._names.get(name)
        if holder is None:
            self._forget(now)
            holder = self._names[name] = _Holder()
        elif not holder.holds:
            del self._idle[name]
        ticket = next(self._tickets)
        holder.holds[ticket] = now
        return ticket

    def leaves(self, name: str, ticket: int, *, now: float) -> None:
        """It gives one back."""
        holder = self._names[name]
        holder.ended(now - max(holder.holds.pop(ticket), self._excused))
        if not holder.holds:
            self._idle[name] = now

    def excuse(self, before: float) -> None:
        """What is held until that moment is held for reasons of ours: it says nothing of anybody, and nobody is sent
        away for it.
        """
        self._excused = max(self._excused, before)

    def _forget(self, now: float) -> None:
        while self._idle and (len(self._idle) >= MOST_KEPT or next(iter(self._idle.values())) < now - KEPT):
            name, _ = self._idle.popitem(last=False)
            del self._names[name]


class _Holder:
    """What one name holds: since when, by ticket, the oldest first."""

    __slots__ = ("_mean", "holds", "returns")

    def __init__(self) -> None:
        self.holds: dict[int, float] = {}
        self.returns = Returns()
        self._mean = math.nan
        """Of its holds that ended, s."""

    def ended(self, seconds: float) -> None:
        self._mean = seconds if math.isnan(self._mean) else self._mean + WEIGHT * (seconds - self._mean)

    def expected(self, own: int, now: float, excused: float) -> float | None:
        """How long it holds what it is given, s; None: not known yet.

        The mean speaks of the past, and of those who ended: what hangs shows by its age, once it is half a share.
        """
        age = now - max(next(islice(self.holds.values(), own // 2, None), now), excused)
        if age > QUICK:
            return age if math.isnan(self._mean) else max(age, self._mean)
        return None if math.isnan(self._mean) else self._mean
