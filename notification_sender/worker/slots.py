"""How many deliveries are worked on at once, shared by the lanes."""

from collections.abc import Collection, Mapping

from notification_sender.ports import Lane, Platform


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
