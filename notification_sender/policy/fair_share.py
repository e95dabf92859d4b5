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

MOST_BEYOND = 1_000
"""Slots beyond its share up to which a quick name grows: more than a process has."""

FEW = 8
"""Slots that a name may always hold, as long as one is left to others: a fraction of a few slots would be none."""

SOON = LONGEST / 2
"""Seconds. A delivery whose turn comes later is deferred: another process may be able to work on it before."""

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
        self._largest: dict[str, _Holder] = {}
        """By group, which is the part of a name before its slash: the name that holds most."""
        self._idle: OrderedDict[str, float] = OrderedDict()
        """Names that hold nothing, with the time since when: the longest first."""
        self._tickets = count()
        self._ignored_before = -math.inf

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
        if not holder.record_sent():
            holder.record_hold(now - max(began, self._ignored_before))
        self._rest(name, holder, now)
        return now - began

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
        holder = self._names.get(name) or _Holder()
        if now <= self._ignored_before:
            return 0.0
        if (seconds_behind := holder.seconds_behind(now)) > 0 and len(holder.holds) >= self._own / BEHIND:
            return min(seconds_behind, LONGEST) * (1 + dice) / 2
        if (len(holder.holds) if begun else self._count(name)) < self._own:
            return 0.0
        hold = holder.expected_hold(self._half(part), now, self._ignored_before, begun=begun)
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
        holder = self._names.get(name) or _Holder()
        if self._count(name) < self._own or holder.seconds_behind(now):
            return False
        return away < SOON or not holder.is_known(self._half(part), now, self._ignored_before)

    def calls(self, name: str, *, now: float, part: int = 0) -> int:
        """How many deliveries that wait go on for a slot that was given back: two as long as ``name`` may hold more."""
        holder = self._names.get(name) or _Holder()
        hold = holder.expected_hold(self._half(part), now, self._ignored_before)
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

    def _holder(self, name: str, now: float) -> "_Holder":
        """That of a name which holds something from now on."""
        holder = self._names.get(name)
        if holder is None:
            self._forget(now)
            holder = self._names[name] = _Holder()
        elif not (holder.holds or holder.inside):
            del self._idle[name]
        return holder

    def _rest(self, name: str, holder: "_Holder", now: float) -> None:
        if not (holder.holds or holder.inside):
            self._idle[name] = now

    def _compare(self, name: str, holder: "_Holder") -> None:
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
        seconds = now - max(began, self._ignored_before)
        if counts or seconds <= QUICK:
            holder.record_hold(seconds)
        self._rest(name, holder, now)
        return now - began

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
            holder = self._names.pop(name)
            group = name.partition("/")[0]
            if self._largest.get(group) is holder:
                del self._largest[group]


class _Holder:
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
