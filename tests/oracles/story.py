"""Stories in plain Python, as lua/record.lua appends to them."""

from dataclasses import dataclass, field
from typing import Any

from notification_sender.adapters.redis.constants import STORY_ATTEMPTS
from notification_sender.ports.ledger import Busy, ClaimReply, Key, Settled, Stale

Event = dict[str, Any]
OWN = ("process", "t", "until", "times", "since")


@dataclass
class Stories:
    """``process`` tells them; each is kept for ``ttl`` µs after its last event."""

    process: str
    ttl: int
    told: dict[Key, list[Event]] = field(default_factory=dict)
    _ends: dict[Key, int] = field(default_factory=dict)

    def append(self, key: Key, now: int, what: Event, *, until: int | None = None, counted: bool = False) -> None:
        """Add one event. ``counted``: in the last one, where that told the same."""
        story = self.told.get(key, []) if self._ends.get(key, 0) > now else []
        event = what | {"process": self.process, "t": now} | ({} if until is None else {"until": until})
        last = story[-1] if story else None
        if counted and last and what == {name: value for name, value in last.items() if name not in OWN}:
            story.pop()
            event |= {"times": last.get("times", 1) + 1, "since": last.get("since", last["t"])}
        self.told[key] = [*story, event][-STORY_ATTEMPTS:]
        self._ends[key] = now + self.ttl

    def refuse(self, key: Key, now: int, reply: ClaimReply, until: int) -> None:
        """A claim that got this reply."""
        match reply:
            case Settled(state):
                event = {"outcome": "deduplicated", "reason": f"already_{state}"}
            case Stale():
                event = {"outcome": "deduplicated", "reason": "stale"}
            case Busy():
                event = {"outcome": "deferred", "reason": "claimed_elsewhere"}
            case _:
                return
        self.append(key, now, {"step": "claim"} | event, until=until if isinstance(reply, Busy) else None, counted=True)
