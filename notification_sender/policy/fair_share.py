"""How much of what is shared one name may hold, so that those who are slow leave room for the others.

Whether somebody is slow is not set but seen: a customer whose receivers are quick may have the whole process.
"""

import math
from collections import OrderedDict
from itertools import count, islice

from notification_sender.policy.returns import LONGEST, Returns

QUICK = 1.0
"""Seconds. Who gives back what it holds within these keeps nobody out for long, however much it holds. Even what waits
for nobody may take half of that, on a machine that has more to do than it can.
"""

UNKNOWN = 0.25
UNTRIED = 2 * UNKNOWN
"""Seconds after which somebody asks again of whom nothing has ended so far, and for how long it may do so."""

ARREARS = 0.5
BEHIND = 4
"""Who is behind: less than this share of what it wanted went out, the rest is put off. It gets one part of so many of
its own share: what it is given now is only put off, too, and that is work all the same.
"""

FEW = 8
"""So many may always be held, as long as one is left to others: of a process that has few, a part is none."""

WEIGHT = 1 / 8
"""Of the latest in a mean."""

KEPT = 60.0
MOST_KEPT = 10_000
"""A name that holds nothing is remembered for so many seconds, and so many of them are: about 5 MB."""


class Shares:
    """Of ``total`` one name may hold ``share`` (a part of one, at least 1 of the total); beyond that, only while it
    is quick.

    Times are monotonic, s; ``dice`` is uniform in [0, 1).
    """

    def __init__(self, total: int, share: float) -> None:
        self._own = max(int(total * share), min(total - 1, FEW), 1)
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
        if holder is None or now <= self._excused:
            return 0.0
        if (arrears := holder.arrears(now)) > 0 and len(holder.holds) >= self._own / BEHIND:
            return min(arrears, LONGEST) * (1 + dice) / 2
        if len(holder.holds) < self._own:
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

    def went(self, name: str, *, put_off: float, now: float) -> None:
        """Something of what it holds went out (0.0), or was put off for so many seconds: for a limit, for its receiver.

        Who is behind need not be looked at before that: it would only be put off, too.
        """
        if holder := self._names.get(name):
            holder.went(put_off, now)

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

    __slots__ = ("_mean", "_put_off", "_sent", "holds", "returns")

    def __init__(self) -> None:
        self.holds: dict[int, float] = {}
        self.returns = Returns()
        self._mean = math.nan
        """Of its holds that ended, s."""
        self._sent, self._put_off = 1.0, 0.0
        """The share that went out, of late; and until when the rest is put off."""

    def ended(self, seconds: float) -> None:
        self._mean = seconds if math.isnan(self._mean) else self._mean + WEIGHT * (seconds - self._mean)

    def went(self, put_off: float, now: float) -> None:
        self._sent += WEIGHT * ((put_off == 0) - self._sent)
        self._put_off = max(self._put_off, now + put_off)

    def arrears(self, now: float) -> float:
        """For how many seconds it is behind, 0.0 if it is not, or hardly."""
        wait = self._put_off - now
        return wait if self._sent < ARREARS and wait > QUICK else 0.0

    def expected(self, own: int, now: float, excused: float) -> float | None:
        """How long it holds what it is given, s; None: not known yet.

        The mean speaks of the past, and of those who ended: what hangs shows by its age, once it is half a share.
        """
        age = now - max(next(islice(self.holds.values(), own // 2, None), now), excused)
        if math.isnan(self._mean):
            return QUICK + age if age > UNTRIED else None
        return max(age, self._mean) if age > QUICK else self._mean
