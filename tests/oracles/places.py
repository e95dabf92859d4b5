"""What is wrong with destinations, in plain Python: which are off, which hold us off, which accept nothing."""

from dataclasses import dataclass, field

from notification_sender.adapters.redis.constants import DISABLED_SECONDS
from notification_sender.policy.limits import SECOND
from notification_sender.ports.ledger import AttemptReport, Key, Transition


@dataclass(slots=True)
class Place:
    """As lua/settle.lua has it. Times are µs since the epoch."""

    failing: int | None = None
    off: str = ""
    until: int = 0
    hold: int = 0

    def switch_off(self, why: str, now: int) -> Transition:
        # Whoever is switched on again gets the whole time once more.
        self.off, self.until, self.failing = why, now + DISABLED_SECONDS * SECOND, None
        return "disabled"


@dataclass(frozen=True, slots=True)
class Places:
    """``disable_after``: µs of failing after which a destination is off. ``horizon``: the longest hold, µs."""

    disable_after: int
    horizon: int
    places: dict[Key, Place] = field(default_factory=dict)

    def off(self, key: Key, now: int) -> bool:
        place = self.places.get(key)
        return place is not None and place.until > now

    def hold(self, key: Key, now: int) -> int:
        """µs to wait. What is longer than any was written before the clock was set back."""
        place = self.places.get(key)
        left = place.hold - now if place is not None else 0
        return left if 0 < left <= self.horizon else 0

    def judge(self, report: AttemptReport, now: int) -> Transition | None:
        """What an attempt made of its destination."""
        if report.verdict == "neither":
            return None
        if report.verdict == "accepted":
            return self._recover(report.destination)
        place = self.places.setdefault(report.destination, Place())
        if report.hold > 0:
            place.hold = now + min(round(report.hold * SECOND), self.horizon)
        if place.until > now:
            return None
        if report.verdict == "gone":
            return place.switch_off("gone", now)
        if place.failing is None:
            place.failing = now
        elif now - place.failing >= self.disable_after:
            return place.switch_off("failing", now)
        return None

    def _recover(self, key: Key) -> Transition | None:
        place = self.places.get(key)
        if place is None:
            return None
        was = place.off
        place.off, place.until, place.failing = "", 0, None
        return "recovered" if was else None
