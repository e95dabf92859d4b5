"""A story for people: the events of a unit and of its notifications, in order, and how it ended."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from notification_sender.model.destination import SHORT_HASH
from notification_sender.model.timestamps import format_rfc3339
from notification_sender.policy.audit import WORST_FIRST, recorded_outcome
from notification_sender.policy.limits import SECOND

OUTCOMES = ("delivered", "failed", "deferred", "suppressed")
"""What an earlier version wrote as the class of an attempt. Every other class was the reason of a death."""

LATEST = 2**53
"""µs since the epoch: exact in a double."""

CLAIMED = ("claimed", "transmitting")


@dataclass(frozen=True, slots=True)
class Chapter:
    """One record of the ledger with its story, as Redis has them."""

    organization_id: str
    kind: str
    """``unit`` or ``notification``."""
    name: str
    """The id; of a unit also the hash of its fingerprint, and the name of a slice."""
    record: Mapping[str, str]
    lines: Sequence[str]

    @property
    def notifications(self) -> list[str]:
        """Of a unit that is done: the ids of its notifications."""
        return [it for it in self.record.get("notifications", "").split(" ") if it and not it.startswith("/")]

    @property
    def work_unit_id(self) -> str | None:
        """The id of the unit, without its fingerprint. None: an earlier version wrote the story."""
        if self.kind == "unit":
            return self.name.partition("@")[0].partition("/")[0]
        named = (it.get("work_unit_id") for it in map(_event, self.lines))
        return next((it for it in named if isinstance(it, str)), None)


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one id."""

    id: str
    kind: str
    organization_id: str
    work_unit_id: str | None
    end: str
    """``delivered``, ``dead``, ``waiting``, ``suppressed``; of a unit, the worst of its notifications."""
    reason: str
    now: Mapping[str, Any]
    """Of what has not ended: who works on it, or until when it waits."""
    events: Sequence[Mapping[str, Any]]
    letter: bool | None = None
    """Whether its dead letter is there; None: it has none, or RabbitMQ did not say."""

    def known(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def story(id_: str, chapters: Sequence[Chapter]) -> Story:
    """Tell what the records of one id say together. ``chapters``: that of the id first, all of one organization."""
    first = chapters[0]
    # At the same moment a notification ends before its unit does.
    ordered = sorted(chapters, key=lambda it: it.kind == "unit")
    events = [(at, event) for chapter in ordered for at, event in _events(chapter)]
    ends = [_end(it) for it in chapters if it is first or first.kind == "unit"]
    # A unit that is done counts as its notifications, if it has any.
    end, reason = min(
        ends[1:] if first.notifications and len(ends) > 1 else ends, key=lambda it: WORST_FIRST.index(it[0])
    )
    events += _implied(ordered, events)
    return Story(
        id=id_,
        kind=first.kind,
        organization_id=first.organization_id,
        work_unit_id=first.work_unit_id,
        end=end,
        reason=reason,
        now=_now(chapters if first.kind == "unit" else chapters[:1]),
        events=[event for _, event in sorted(events, key=lambda it: it[0])],
    )


def _implied(
    chapters: Iterable[Chapter], events: Sequence[tuple[float, Mapping[str, Any]]]
) -> list[tuple[float, dict[str, Any]]]:
    """The first claim of each record, and the end of a unit that ended in one step with its only notification."""
    implied = []
    for it in chapters:
        about = {"kind": it.kind, "name": it.name}
        if first := it.record.get("first"):
            at, _, process = first.partition(" ")
            implied.append(
                (
                    float(at),
                    _blank(float(at))
                    | {"step": "claim", "outcome": "claimed"}
                    | about
                    | {"process": process, "attempt": 1},
                )
            )
        ended = any(event["step"] == "end" for _, event in events if event["name"] == it.name)
        if it.record.get("state") == "done" and not ended:
            last = [one for one in events if one[1]["name"] in it.notifications and one[1]["step"] != "admit"]
            implied += [
                (at, _blank(at) | {"step": "end", "outcome": "done"} | about | {"process": event["process"]})
                for at, event in last[:1]
            ]
    return implied


def _blank(at: float) -> dict[str, Any]:
    """The fields that each event has."""
    return {"at": _time(at), "process": "", "step": "", "outcome": "", "reason": "", "attempt": None}


def _end(chapter: Chapter) -> tuple[str, str]:
    ended = recorded_outcome(chapter.record.get("state"), chapter.record.get("text"))
    return ended.state, ended.reason


def _now(chapters: Iterable[Chapter]) -> dict[str, Any]:
    for it in chapters:
        state = it.record.get("state", "")
        about = {"kind": it.kind, "name": it.name}
        if state in CLAIMED:
            held = {"process": it.record.get("holder", ""), "lease_until": _time(it.record.get("lease"))}
            return about | {"state": state} | held
        last: Mapping[str, Any] = max(_events(it), key=lambda one: one[0], default=(0, {}))[1]
        if state == "waiting":
            return about | {"state": state, "until": _time(it.record.get("due")), "reason": _reason(last)}
        if not state and last.get("outcome") == "deferred":
            # Nothing was claimed yet: it waits for a pause, or for a file.
            return about | {"state": "waiting", "until": last.get("until"), "reason": _reason(last)}
    return {}


def _reason(event: Mapping[str, Any]) -> str:
    return (
        str(event.get("because") or event.get("reason", "")) if event.get("outcome") in {"deferred", "failed"} else ""
    )


def _events(chapter: Chapter) -> Iterable[tuple[float, dict[str, Any]]]:
    about = {"kind": chapter.kind, "name": chapter.name}
    for event in filter(None, map(_event, chapter.lines)):
        begins, moment = _number(event, "at") * SECOND, _number(event, "t")
        event.pop("t", None)
        at = moment or begins
        known = {"began": _time(begins)} if "at" in event else {}
        times = {name: _time(_number(event, name)) for name in ("until", "since") if name in event}
        yield at, _blank(at) | about | event | {"at": _time(at)} | known | times


def _number(event: Mapping[str, Any], name: str) -> float:
    """A time of an event; 0.0 where it is missing, or is none: another program wrote it."""
    value = event.get(name)
    return float(value) if isinstance(value, int | float) and 0 < value < LATEST else 0.0


def began(line: bytes | None) -> float | None:
    """When the first event of a story was, epoch seconds; None: nobody can tell."""
    event = _readable(line)
    return (_number(event, "since") or _number(event, "t")) / SECOND or None


def is_of(line: bytes, recipient: str) -> bool:
    """Whether an event says that it was sent to this recipient (hash)."""
    return _readable(line).get("recipient") == recipient[:SHORT_HASH]


def _readable(line: bytes | str | None) -> dict[str, Any]:
    """An event; empty where the line has none, because another program wrote it."""
    try:
        event: Any = json.loads(line or b"")
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _event(line: str) -> dict[str, Any]:
    """One event, also as an earlier version wrote it; empty where the line has none."""
    event = _readable(line)
    old = event.pop("class", None)
    if old is None:
        return event
    known = {"outcome": old} if str(old) in OUTCOMES else {"outcome": "dead", "reason": old}
    return {"step": "send"} | known | event


def _time(microseconds: float | str | None) -> str | None:
    return format_rfc3339(float(microseconds) / SECOND, "milliseconds") if microseconds else None
