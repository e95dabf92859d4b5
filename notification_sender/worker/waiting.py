"""Deliveries that wait in this process for a share that is full, or for a host that is out. None of them holds a slot.

They are not settled, so RabbitMQ requeues them when the process ends, however it ends.
"""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

from notification_sender.ports.broker import Envelope, Lane
from notification_sender.ports.clock import Clock
from notification_sender.telemetry.steps import SlotSteps

CAPACITY = 8 * 1024 * 1024
"""Bytes of the bodies that wait in one process."""

SPARE = CAPACITY // 4
"""Bytes beyond it, for those alone that have waited and found their share full again when they were called."""

LEAST = 8 * 1024
"""Bytes for which a delivery counts at least, so that 1,024 wait at most, and 1,280 with ``SPARE``."""

OF_THE_REST = 4
"""A name may fill so many times what it leaves free: four fifths of an empty room, and the next one four fifths of the
rest. So one name never keeps all others out.
"""

LONGEST_WAIT = 60.0
"""Seconds after which a delivery waits here no more. If it is still not its turn, it is deferred, and any process may
take it.
"""

LONGEST_FOR_HOST = 300.0
"""As long for a host that is out: no other process could send it any sooner."""

BESIDE = 4
"""A new consumer takes the place of one of whose deliveries more than every fourth went into the room."""

BETWEEN_CONSUMERS = 0.1
"""Seconds from a new consumer to the next one of any lane, at least."""

LOOK_SECONDS, LOOKED_AT = 1.0, 100
"""Seconds between two looks, at which one delivery of each name goes on, of so many names by turns. The one before it
may have ended without a slot, and so called nobody, or a host may have to be probed.
"""

BREATH, PART_OF_HOLD = 0.1, 0.05
"""Seconds between a slot that is given back and the next delivery that goes on, at most, and as a part of the time for
which the slot was held. Sends that hang end together: meanwhile the circuit of their host opens.
"""

AT_ONCE = 0.01
"""Seconds. A delivery that would go on sooner goes on now: it needs no timer."""

AHEAD = 1.0
"""Seconds. No more deliveries are called while the last of those that were called comes later than that."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing is settled. The delivery gives its slot back and waits for a slot of ``name``.

    It goes on ``pace`` seconds after the one before it, or later: a host that was out must not be overloaded again.
    """

    name: str
    step: str
    """In which it waits."""
    pace: float = 0.0
    longest: float = LONGEST_WAIT
    """Seconds for which it waits in this process at most, since it first did."""


@dataclass(slots=True)
class _Queue:
    """Of one name."""

    waiting: deque[tuple[Envelope, SlotSteps]] = field(default_factory=deque)
    """Those that have waited longest first, whatever name they waited for before."""
    size: int = 0
    pace: float = 0.0
    longest: float = 0.0
    """Of all that have waited here, for all of them: some have come before their host was out."""
    last: float = -math.inf
    """When the last one that was called goes on."""


Go = Callable[[Envelope, SlotSteps, float], None]
Holds = Callable[[Envelope], bool]


class WaitingRoom:
    """By the name of a share, what has waited longest first. Times are monotonic, s."""

    def __init__(self, admits: Callable[[], bool] = lambda: True) -> None:
        """``admits``: whether units may be worked on at present."""
        self._admits = admits
        self._size = 0
        self.names: dict[str, _Queue] = {}
        """Of which deliveries wait."""
        self._number = 0
        self._go: Go = lambda *_: None
        self._holds: Holds = lambda _: True

    def __len__(self) -> int:
        return self._number

    def open(self, go: Go, holds: Holds = lambda _: True) -> None:
        """From now on ``go`` gets each delivery that is called, its steps, and the seconds after which it goes on.
        ``holds``: whether it can still be settled.
        """
        self._go, self._holds = go, holds

    def takes(self, place: Waiting, envelope: Envelope, *, now: float) -> bool:
        """Whether there is room for it. It keeps its place once it has one, for as long as it may wait."""
        size = _size(envelope)
        if envelope.waiting_since is not None:
            return self._size + size <= CAPACITY + SPARE and not _is_late(envelope, place.longest, now)
        queue = self.names.get(place.name)
        held = queue.size if queue is not None else 0
        return held + size <= OF_THE_REST * (CAPACITY - self._size - size)

    def enter(self, place: Waiting, envelope: Envelope, steps: SlotSteps, *, now: float) -> None:
        """Let it wait, in front of those that have waited for less long."""
        queue = self.names.setdefault(place.name, _Queue())
        queue.pace, queue.longest = max(queue.pace, place.pace), max(queue.longest, place.longest)
        if envelope.waiting_since is None:
            queue.waiting.append((replace(envelope, waiting_since=now), steps))
        else:
            place_in_line = bisect_left(queue.waiting, envelope.waiting_since, key=_since)
            queue.waiting.insert(place_in_line, (envelope, steps))
        self._count(queue, envelope, 1)

    def call(self, name: str, number: int, *, now: float, held: float = 0.0) -> None:
        """``name`` gave a slot back that was held for so long: so many deliveries go on. No units while those are kept
        out: they would only wait elsewhere.
        """
        queue = self.names.get(name)
        while number > 0 and queue is not None and queue.last - now <= AHEAD:
            place = self._place_of_next(queue)
            if place is None:
                break
            first = self._take_out(name, queue, place)
            queue.last = max(now + min(BREATH, PART_OF_HOLD * held), queue.last + queue.pace)
            seconds = queue.last - now
            self._go(*first, seconds if seconds >= AT_ONCE else 0.0)
            number -= 1

    async def recheck_for_ever(self, clock: Clock) -> None:
        """Run in the background."""
        while True:
            await clock.sleep(LOOK_SECONDS)
            self.recheck(clock.monotonic())

    def recheck(self, now: float) -> None:
        """Called now and then. One delivery of each name goes on, and all that have waited too long. Those that came by
        a lost connection leave: the broker delivers them again.
        """
        for name, queue in [*islice(self.names.items(), LOOKED_AT)]:
            self.names[name] = self.names.pop(name)  # behind those that were not looked at
            lost = [place for place, (envelope, _) in enumerate(queue.waiting) if not self._holds(envelope)]
            for place in reversed(lost):
                self._go(*self._take_out(name, queue, place), 0.0)
            self.call(name, 1, now=now)
            while queue.waiting and _is_late(queue.waiting[0][0], queue.longest, now):
                self._go(*self._take_out(name, queue), 0.0)

    def empty(self) -> Iterator[Envelope]:
        """Take all of them out."""
        for name, queue in [*self.names.items()]:
            while queue.waiting:
                yield self._take_out(name, queue)[0]

    def _place_of_next(self, queue: _Queue) -> int | None:
        if self._admits():
            return 0 if queue.waiting else None
        lanes = (envelope.lane for envelope, _ in queue.waiting)
        return next((place for place, lane in enumerate(lanes) if lane is not Lane.UNITS), None)

    def _take_out(self, name: str, queue: _Queue, place: int = 0) -> tuple[Envelope, SlotSteps]:
        envelope, steps = queue.waiting[place]
        del queue.waiting[place]
        self._count(queue, envelope, -1)
        if not queue.waiting:
            del self.names[name]
        return envelope, steps

    def _count(self, queue: _Queue, envelope: Envelope, sign: int) -> None:
        size = sign * _size(envelope)
        queue.size += size
        self._size += size
        self._number += sign


class Crowd:
    """Counts, by lane, the deliveries that went into the waiting room since the lane was subscribed. Those that wait
    count for the prefetch of the consumer that took them. No more of its are there than were counted, so this never
    overlooks a lane that finds no other work.
    """

    def __init__(self) -> None:
        self.lanes: dict[Lane, int] = {}
        self.asking = dict.fromkeys(Lane, 0)
        """Deliveries that gave their slot back and are handled again within a second."""

    def subscribed(self, lane: Lane) -> None:
        """A new consumer of ``lane`` takes as many as before beside those that wait."""
        self.lanes.pop(lane, None)

    def entered(self, envelope: Envelope) -> None:
        """It goes into the room. Who was there before is counted already."""
        if envelope.waiting_since is None:
            self.lanes[envelope.lane] = self.lanes.get(envelope.lane, 0) + 1

    def is_large(self, lane: Lane, taken: int) -> bool:
        """Whether it is time for a new consumer. ``taken``: how many deliveries the present one may take. While many
        ask again that are not in the room, nothing new is taken: most of it would have to ask again, too.
        """
        return BESIDE * self.lanes[lane] > taken >= BESIDE * self.asking[lane]


def _size(envelope: Envelope) -> int:
    return max(len(envelope.body), LEAST)


def _since(waiting: tuple[Envelope, SlotSteps]) -> float:
    return waiting[0].waiting_since or 0.0


def _is_late(envelope: Envelope, longest: float, now: float) -> bool:
    return envelope.waiting_since is not None and now - envelope.waiting_since >= longest
