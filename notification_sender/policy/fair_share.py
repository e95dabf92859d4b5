"""How many shared slots one name (an organization, a destination) may hold, so that slow ones leave room for others.

Slowness is measured, not configured: an organization whose endpoints answer within 1 s may use every slot.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from itertools import count

from notification_sender.policy.holder import QUICK, UNKNOWN, Holder
from notification_sender.policy.pacing import LONGEST

BEHIND = 4
"""A name whose notifications were mostly deferred lately gets 1/``BEHIND`` of its own share. With more, most would only
be deferred again, and that costs work too.
"""

FEW = 8
"""Slots that a name may always hold, as long as one is left to others: a fraction of a few slots would be none."""

SOON = LONGEST / 2
"""Seconds. A delivery whose turn comes later is deferred: another process may be able to work on it before."""

KEPT = 60.0
MOST_KEPT = 10_000
"""Seconds for which a name without slots is remembered, and how many such names are: about 5 MB."""


class FairShare:
    """One name may hold ``share`` (a fraction) of ``total`` slots, at least one; more only while it is quick.

    Times are monotonic, s; ``dice`` is uniform in [0, 1).
    """

    def __init__(self, total: int, share: float, outage: Callable[[float], float] = lambda _now: -math.inf) -> None:
        """``outage``: of now, until when slots were held for reasons of ours. So no name counts as slow for the time
        before. It is not asked for holds within ``QUICK``, which make no name slow anyway.
        """
        self._share = share
        self.divide(total)
        self._names: dict[str, Holder] = {}
        self._largest: dict[str, Holder] = {}
        """By group, which is the part of a name before its slash: the name that holds most."""
        self._idle: OrderedDict[str, float] = OrderedDict()
        """Names that hold nothing, with the time since when: the longest first."""
        self._tickets = count()
        self._outage = outage

    def divide(self, total: int) -> None:
        """Share ``total`` slots from now on. A share of more than there are would let one slow name hold them all."""
        self._own = max(int(total * self._share), min(total - 1, FEW), 1)

    def largest(self, group: str) -> int:
        """How many slots the name of this group holds that holds most."""
        holder = self._largest.get(group)
        return 0 if holder is None else len(holder.holds)

    def enter(self, name: str, *, now: float) -> int:
        """A delivery is worked on from now on that will hold a slot of ``name``. Ask before whether it may. Returns
        the ticket for ``leave``.
        """
        holder, ticket = self._holder(name, now), next(self._tickets)
        holder.inside[ticket] = now
        return ticket

    def leave(self, name: str, ticket: int, *, now: float) -> float:
        """It is worked on no more. Returns for how long it was, s."""
        holder = self._names[name]
        held, began = len(holder.inside), holder.inside.pop(ticket)
        if held >= self._own or holder.full_at > -math.inf:
            holder.record_return(max(held, len(holder.holds) + 1), self._own, now)
        seconds = now - began
        if not holder.record_sent():
            holder.record_hold(seconds if seconds <= QUICK else self._without_outage(began, now))
        self._rest(name, holder, now)
        return seconds

    def is_free(self, name: str) -> bool:
        """Whether it holds so little that nothing can keep it out. Every message asks, so this calls nearly nothing."""
        if name not in self._names:
            return True
        holder, little = self._names[name], self._own / BEHIND
        return len(holder.holds) < little and len(holder.inside) < little

    def is_inside(self, name: str) -> bool:
        """Whether a delivery is worked on that will leave."""
        return name in self._names and bool(self._names[name].inside)

    def delay_for(
        self, name: str, *, now: float, dice: float, part: int = 0, again: bool = False, begun: bool = False
    ) -> float:
        """0.0: it may hold one more. Else the delay in seconds, so that deferred deliveries come back about as fast as
        slots become free. ``part``: how many of its slots one part of it holds that has a share of its own, and so
        keeps nobody out. ``again``: the delivery has asked before and waits since then, so it takes no further turn.
        ``begun``: work for it was done, so only a slow name is a reason to put it off.
        """
        holder = self._names.get(name) or Holder()
        ignored_before = self._outage(now)
        if now <= ignored_before:
            return 0.0
        if (seconds_behind := holder.seconds_behind(now)) > 0 and len(holder.holds) >= self._own / BEHIND:
            return min(seconds_behind, LONGEST) * (1 + dice) / 2
        if (len(holder.holds) if begun else self._count(name)) < self._own:
            return 0.0
        hold = holder.expected_hold(self._half(part), now, ignored_before, begun=begun)
        slow = hold is not None and hold > QUICK
        if hold is not None and not slow:
            own = self._own + self._half(part) - self._own // 2
            if begun or not holder.is_full(self._count(name), own, now):
                return 0.0
        # Also where nobody knows how long a slot is held: those that come later come back after those that wait.
        step = (hold if slow and hold else QUICK) / self._own
        away = UNKNOWN if again else holder.returns.next_delay(step, now=now, dice=dice)
        return away if slow else UNKNOWN

    def awaits(self, name: str, *, now: float, away: float, part: int = 0) -> bool:
        """Whether a delivery of ``name`` that would come back in ``away`` s may wait for the next free slot: it will be
        its turn soon, or nobody knows when. Not so where a limit defers most of the work: no slot helps then.
        """
        holder = self._names.get(name) or Holder()
        if self._count(name) < self._own or holder.seconds_behind(now):
            return False
        return away < SOON or not holder.is_known(self._half(part), now, self._outage(now))

    def calls(self, name: str, *, now: float, part: int = 0) -> int:
        """How many deliveries that wait go on for a slot that was given back: two as long as ``name`` may hold more."""
        holder = self._names.get(name) or Holder()
        hold = holder.expected_hold(self._half(part), now, self._outage(now))
        limit = self._own + (holder.beyond(now) if hold is not None and hold <= QUICK else 0)
        return 2 if self._count(name) < limit - 1 else 1

    def _count(self, name: str) -> int:
        holder = self._names.get(name)
        return 0 if holder is None else max(len(holder.inside), len(holder.holds))

    def _half(self, part: int) -> int:
        """How many holds that hang are no reason to call a name slow: half of its share, or one part of it. ``part``
        may hold more than that, since ``divide`` made all shares smaller.
        """
        return max(self._own // 2, part)

    def acquire(self, name: str, *, now: float) -> int:
        """It holds one more from now on. Returns the ticket for ``release``."""
        holder, ticket = self._holder(name, now), next(self._tickets)
        holder.holds[ticket] = now
        holder.sending += 1
        if len(holder.holds) >= FEW:
            self._compare(name, holder)
        return ticket

    def _holder(self, name: str, now: float) -> "Holder":
        """That of a name which holds something from now on."""
        holder = self._names.get(name)
        if holder is None:
            self._forget(now)
            holder = self._names[name] = Holder()
        elif not (holder.holds or holder.inside):
            del self._idle[name]
        return holder

    def _rest(self, name: str, holder: "Holder", now: float) -> None:
        if not (holder.holds or holder.inside):
            self._idle[name] = now

    def _compare(self, name: str, holder: "Holder") -> None:
        """Whether it is the largest of its group now. Those that hold a few slots are not worth it."""
        group, slash, _ = name.partition("/")
        if slash and len(holder.holds) > self.largest(group):
            self._largest[group] = holder

    def is_slow(self, name: str) -> bool:
        """Whether its holds that ended took long, in the mean."""
        return name in self._names and self._names[name].is_slow

    def release(self, name: str, ticket: int, *, now: float, counts: bool = True) -> float:
        """It gives one back. Returns how long that was held, s. ``counts``: a hold that was long speaks against it."""
        holder = self._names[name]
        held = len(holder.holds)
        if not holder.inside and (held >= self._own or holder.full_at > now - QUICK):
            holder.record_return(held, self._own, now)
        began = holder.holds.pop(ticket)
        seconds = now - began
        if seconds <= QUICK:
            holder.record_hold(seconds)
        elif (counted := self._without_outage(began, now)) <= QUICK or counts:
            holder.record_hold(counted)
        self._rest(name, holder, now)
        return seconds

    def record_deferral(self, name: str, *, put_off: float, now: float) -> None:
        """One notification of it was sent (0.0), or deferred for so many seconds by a limit or its receiver.

        Until then a name that is behind need not try again: that would only be deferred, too.
        """
        if holder := self._names.get(name):
            holder.record_result(put_off, now)

    def _without_outage(self, began: float, now: float) -> float:
        """The seconds of a long hold that count for its name."""
        return now - max(began, self._outage(now))

    def _forget(self, now: float) -> None:
        while self._idle and (len(self._idle) >= MOST_KEPT or next(iter(self._idle.values())) < now - KEPT):
            name, _ = self._idle.popitem(last=False)
            holder = self._names.pop(name)
            group = name.partition("/")[0]
            if self._largest.get(group) is holder:
                del self._largest[group]
