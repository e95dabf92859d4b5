"""How much is worked on at once: by lane, by organization and destination, by channel, and by large unit."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from notification_sender.policy.fair_share import FairShare
from notification_sender.policy.pacing import Pacer
from notification_sender.ports.broker import Lane
from notification_sender.ports.clock import Clock, Dice
from notification_sender.ports.fleet import IntakeGate
from notification_sender.telemetry.lag import Deadline
from notification_sender.turns import Turns
from notification_sender.worker.waiting import WaitingRoom

BACKED_UP = "slow_down"
"""The reason of a notification that is deferred because there was no place for it in time."""

SLICES_AT_ONCE = 4
"""Slices of one organization that a process works on. A hundred would wait for the few connections of a mail server,
and hold their rendered bodies meanwhile.
"""

UNKNOWN_SLICE_SECONDS = 0.25
"""Expected duration of a slice while none has ended."""

SHORTEST_STEP = 0.05
"""Seconds between two slices that come back, however quick slices are."""

WEIGHT = 1 / 4
"""Of the latest slice in the mean."""

QUARANTINE_SECONDS = 1.0
"""Shortest delay of a suspect that has to wait for another; the longest is four times that, so that they spread."""


class Slots:
    """While no other lane waits, a lane may use all slots; a freed slot goes to the lane with fewest, by turns.

    So a backlog of retries cannot keep first attempts out, nor the other way round, and no slot stays free for it.
    Units need our own APIs: they wait while the intake gate is closed, because they would only be deferred.
    """

    def __init__(self, total: int, intake_gate: IntakeGate) -> None:
        self.total = total
        """May change at any time; deliveries beyond it end as usual."""
        self.room = WaitingRoom(intake_gate.admits)
        """Deliveries that wait for a share, and hold no slot meanwhile."""
        self._intake_gate = intake_gate
        self._held = dict.fromkeys(Lane, 0)
        self._used = 0
        self._last = Lane.NOTIFICATIONS

    @property
    def held(self) -> Mapping[Lane, int]:
        """Slots in use now, by lane."""
        return self._held

    @property
    def free(self) -> int:
        """Slots that are not in use: less than none after ``total`` was lowered."""
        return self.total - self._used

    def take(self, waiting: Collection[Lane]) -> Lane | None:
        """Hold a slot for one of the ``waiting`` lanes. None: there is no slot, or none of them may have one."""
        if self._used >= self.total or not waiting:
            return None
        if Lane.UNITS in waiting and not self._intake_gate.admits():
            waiting = [lane for lane in waiting if lane is not Lane.UNITS]
            if not waiting:
                return None
        lane = min(waiting, key=lambda it: (self._held[it], it is self._last))
        if lane is Lane.UNITS:
            self._intake_gate.unit_started()
        self._held[lane] += 1
        self._used += 1
        self._last = lane
        return lane

    def give(self, lane: Lane) -> None:
        """Give one back."""
        self._held[lane] -= 1
        self._used -= 1


class Bulkhead:
    """The share of the slots that one organization, or one destination, may hold."""

    def __init__(
        self,
        shares: FairShare,
        *,
        clock: Clock,
        dice: Dice,
        room: WaitingRoom | None = None,
        parts: "Bulkhead | None" = None,
    ) -> None:
        """``room``: where deliveries wait for a slot of these shares. ``parts``: the bulkhead of the destinations, for
        that of the organizations.
        """
        self._shares = shares
        self._clock = clock
        self._dice = dice
        self._room = room
        self._parts = parts
        # Every message asks these, so they are not wrapped.
        self.is_free, self.is_slow = shares.is_free, shares.is_slow

    def divide(self, total: int) -> None:
        """Share ``total`` slots from now on."""
        self._shares.divide(total)

    def delay_for(self, name: str, *, again: bool = False, begun: bool = False) -> float:
        """Seconds to stay away for, 0.0 for none. ``again``: for a delivery that has waited. ``begun``: for one for
        which work was done already.
        """
        if self._shares.is_free(name):
            return 0.0
        now, part = self._clock.monotonic(), self._part(name)
        return self._shares.delay_for(name, now=now, dice=self._dice(), part=part, again=again, begun=begun)

    def enter(self, name: str) -> int:
        """A delivery is worked on from now on that will hold a slot of ``name``. Returns the ticket for ``leave``."""
        return self._shares.enter(name, now=self._clock.monotonic())

    def leave(self, name: str, ticket: int) -> None:
        """A delivery that was entered is worked on no more."""
        seconds = self._shares.leave(name, ticket, now=self._clock.monotonic())
        if self._room is not None and name in self._room.names:
            self._call(self._room, name, seconds)

    def _call(self, room: WaitingRoom, name: str, seconds: float) -> None:
        """Those go on that wait for a slot that was held for so many seconds."""
        now = self._clock.monotonic()
        room.call(name, self._shares.calls(name, now=now, part=self._part(name)), held=seconds, now=now)

    def awaits(self, name: str, away: float) -> bool:
        """Whether a delivery of ``name`` that would stay ``away`` for so long, s, may wait for the next free slot."""
        return self._shares.awaits(name, now=self._clock.monotonic(), away=away, part=self._part(name))

    def _part(self, name: str) -> int:
        return 0 if self._parts is None else self._parts.largest(name)

    def largest(self, organization: str) -> int:
        """How many slots the destination of ``organization`` holds that holds most."""
        return self._shares.largest(organization)

    def record_deferral(self, name: str, *, put_off: float) -> None:
        """A notification of ``name`` was sent (0.0), or deferred for so many seconds."""
        self._shares.record_deferral(name, put_off=put_off, now=self._clock.monotonic())

    def take(self, name: str) -> int:
        """Begin to work for ``name``. Returns the ticket for ``give``."""
        return self._shares.acquire(name, now=self._clock.monotonic())

    def give(self, name: str, ticket: int, *, counts: bool = True) -> float:
        """The work for ``name`` has ended. Returns how long it took, s. ``counts``: as for ``release``."""
        seconds = self._shares.release(name, ticket, now=self._clock.monotonic(), counts=counts)
        if self._room is not None and name in self._room.names and not self._shares.is_inside(name):
            self._call(self._room, name, seconds)
        return seconds


def share_of(organization: str, destination_id: str) -> str:
    """The name under which a destination has its share."""
    return f"{organization}/{destination_id}"


class ChannelBulkhead:
    """Places for the notifications of one channel that are rendered and not settled: bodies are large, and a mail
    server takes only so many at a time. Organizations take turns.
    """

    def __init__(self, places: int, *, longest: float, later: float) -> None:
        """``longest``: seconds to wait for a place, because a waiting notification holds a slot that others need.
        ``later``: seconds after which a notification that got none is tried again.
        """
        self._turns = Turns(places)
        self._longest = longest
        self._later = later

    @asynccontextmanager
    async def place(self, organization: str) -> AsyncIterator[float]:
        """0.0: a place is held while the block runs. Else there was none, and the seconds after which to ask again."""
        try:
            async with Deadline(self._longest):
                await self._turns.take(organization)
        except TimeoutError:
            yield self._later
            return
        try:
            yield 0.0
        finally:
            self._turns.give(organization)


class SliceBulkhead:
    """Places for the slices of large units, a few for each organization. Slices that find none come back one after
    the other, at the pace at which slices end.
    """

    def __init__(self, *, clock: Clock, dice: Dice) -> None:
        self._clock = clock
        self._dice = dice
        self._organizations: dict[str, _Places] = {}

    @contextmanager
    def place(self, organization: str) -> Iterator[float]:
        """0.0: a place is held while the block runs. Else the seconds after which to ask again."""
        places = self._organizations.setdefault(organization, _Places())
        if places.held >= SLICES_AT_ONCE:
            step = max(places.seconds / SLICES_AT_ONCE, SHORTEST_STEP)
            yield places.returns.next_delay(step, now=self._clock.monotonic(), dice=self._dice())
            return
        places.held += 1
        began = self._clock.monotonic()
        try:
            yield 0.0
        finally:
            places.held -= 1
            places.seconds += WEIGHT * (self._clock.monotonic() - began - places.seconds)
            if not places.held:
                del self._organizations[organization]


class _Places:
    """Of one organization."""

    def __init__(self) -> None:
        self.held = 0
        self.seconds = UNKNOWN_SLICE_SECONDS
        self.returns = Pacer()


class Quarantine:
    """Lets one unit at a time be worked on whose workers died, so that a deadly unit takes no other suspect with it."""

    def __init__(self, *, dice: Dice) -> None:
        self._dice = dice
        self._taken = False

    @contextmanager
    def place(self) -> Iterator[float]:
        """0.0: the place is held while the block runs. Else the seconds after which to ask again."""
        if self._taken:
            yield QUARANTINE_SECONDS * (1 + 3 * self._dice())
            return
        self._taken = True
        try:
            yield 0.0
        finally:
            self._taken = False
