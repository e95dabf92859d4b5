"""How many deliveries are worked on at once, shared by the lanes, and by those whom they are for."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from notification_sender.policy.shares import Shares
from notification_sender.ports import Clock, Dice, Lane, Platform
from notification_sender.worker.readiness import Readiness


class Slots:
    """While nobody waits any lane may use all slots; a freed one goes to the lane with fewest, by turns.

    So a backlog of retries cannot keep first attempts out, nor the other way round, and no slot lies idle for it.
    Units, which need our own APIs, wait while ``platform`` does not let them in: begun now they would only be put off.
    """

    def __init__(self, total: int, platform: Platform) -> None:
        self._free = total
        self._platform = platform
        self._held = dict.fromkeys(Lane, 0)
        self._last = Lane.NOTIFICATIONS

    @property
    def held(self) -> Mapping[Lane, int]:
        """Slots in use now, by lane."""
        return self._held

    def take(self, waiting: Collection[Lane]) -> Lane | None:
        """Hold a slot for one of the lanes in which somebody waits. None: no slot, or nobody who may have one."""
        if not self._free or not waiting:
            return None
        if Lane.UNITS in waiting and not self._platform.lets_in():
            waiting = [lane for lane in waiting if lane is not Lane.UNITS]
            if not waiting:
                return None
        lane = min(waiting, key=lambda it: (self._held[it], it is self._last))
        if lane is Lane.UNITS:
            self._platform.enters()
        self._free -= 1
        self._held[lane] += 1
        self._last = lane
        return lane

    def give(self, lane: Lane) -> None:
        """Give one back."""
        self._free += 1
        self._held[lane] -= 1


class Portions:
    """What of the slots is for one organization, or for one destination."""

    def __init__(self, shares: Shares, *, readiness: Readiness, clock: Clock, dice: Dice) -> None:
        self._shares = shares
        self._readiness = readiness
        self._clock = clock
        self._dice = dice

    def away(self, name: str) -> float:
        """Seconds to stay away for, 0.0 for none: asked before any work."""
        self._shares.excuse(self._readiness.troubled)
        return self._shares.asks(name, now=self._clock.monotonic(), dice=self._dice())

    def went(self, name: str, *, put_off: float) -> None:
        """Something for it went out, or was put off for so many seconds."""
        self._shares.went(name, put_off=put_off, now=self._clock.monotonic())

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Work for it, for the length of the block."""
        ticket = self._shares.enters(name, now=self._clock.monotonic())
        try:
            yield
        finally:
            self._shares.excuse(self._readiness.troubled)
            self._shares.leaves(name, ticket, now=self._clock.monotonic())
