"""How each odd case ended: what the workers said of it, held against the dead letters and what the receivers took."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.e2e.fleet import Worker
from tests.strangers.draft import Draft

Record = dict[str, Any]
WORST_FIRST = ("put off", "dead", "suppressed", "delivered")
WORDS = {"deferred": "put off", "failed": "put off"}
OVER = {"done", "dead", "suppressed"}
AGAIN = ("already_", "stale")
"""Why a copy of what was taken before is over: that says nothing of how the other one ended."""


@dataclass(slots=True)
class Case:
    """One odd case on its way. ``unit``: the last that was said of it; ``notifications``: the last of each."""

    odd: Draft
    published: bool = False
    taken: bool = True
    unit: str | None = None
    over: int = 0
    """How many of its copies have come to an end."""
    expected: int = 0
    """Notifications of it, once it is done."""
    notifications: dict[str, str] = field(default_factory=dict)
    letters: int = 0
    """Of the unit itself."""
    dead: dict[str, str] = field(default_factory=dict)
    """Reasons of the notifications that are dead letters."""
    unread: set[str] = field(default_factory=set)
    """Notifications whose own parked copy was refused, as if a stranger had written it."""

    @property
    def end(self) -> str | None:
        """None: in hand, or lost."""
        if not self.taken:
            return "refused"
        if self.letters or self.unit == "dead":
            return "dead"
        if self.unit == "done":
            return self._of_all() if len(self.notifications) >= self.expected else None
        return self.unit

    @property
    def open(self) -> int:
        """Messages that the broker has to hold for it."""
        copies = self.odd.copies if self.taken else 0
        units = max(0, copies - max(self.over, self.letters))
        return units + sum(it == "put off" for id_, it in self.notifications.items() if id_ not in self.dead)

    def _of_all(self) -> str:
        ends = set((self.notifications | dict.fromkeys(self.dead, "dead")).values())
        return next((it for it in WORST_FIRST if it in ends), "suppressed")


class Ends:
    """``read`` takes in what was said since it was read last."""

    def __init__(self, drafts: Iterable[Draft], workers: Iterable[Worker]) -> None:
        self.cases = {it.number: Case(it) for it in drafts}
        self._by_unit = {_name(case.odd.unit): case for case in self.cases.values()}
        self._by_body: dict[bytes, list[Case]] = defaultdict(list)
        for case in self.cases.values():
            self._by_body[case.odd.body].append(case)
        self._workers = dict.fromkeys(workers, 0)

    def read(self) -> None:
        new: list[Record] = []
        for worker, place in self._workers.items():
            new += worker.events[place:]
            self._workers[worker] = len(worker.events)
        # What one worker put off another one may have delivered since: the last word counts, whoever said it.
        for event in sorted(new, key=lambda it: it.get("timestamp", "")):
            self._hear(event)

    def bury(self, body: bytes, reason: str, stage: str) -> None:
        """A dead letter, as its headers say."""
        if body in self._by_body:
            for case in self._by_body[body]:
                case.letters += 1
            return
        letter = _object(body)
        case = self._by_unit.get(_name(letter))
        if case is not None and "notification_id" in letter:
            case.dead[letter["notification_id"]] = reason
            if stage == "decode":
                case.unread.add(letter["notification_id"])

    def pending(self) -> list[Case]:
        return [case for case in self.cases.values() if case.end is None]

    @property
    def put_off(self) -> int:
        """Messages that the broker has to hold."""
        return sum(case.open for case in self.cases.values())

    def by_kind(self) -> dict[str, dict[str, int]]:
        counted: dict[str, dict[str, int]] = {}
        for case in self.cases.values():
            ends = counted.setdefault(case.odd.kind, {})
            end = case.end or "unaccounted"
            ends[end] = ends.get(end, 0) + 1
        return counted

    def faults(self, accepted: Mapping[str, int], asked: Mapping[int, int]) -> list[str]:
        """``accepted``: by notification, at the receivers that count; ``asked``: requests at odd ones, by case."""
        return [
            f"case {number} {case.odd.kind}: {wrong}"
            for number, case in self.cases.items()
            for wrong in _wrong(case, accepted, asked.get(number, 0))
        ]

    def _hear(self, event: Record) -> None:
        what, _, word = event["event"].partition(".")
        case = self._by_unit.get(str(event.get("work_unit_id")))
        if case is None or what not in {"unit", "notification"}:
            return
        if what == "notification":
            if not _again(event):
                case.notifications[event["notification_id"]] = WORDS.get(word, word)
            return
        case.over += word != "deferred"
        if case.unit not in OVER and not _again(event):
            case.unit = WORDS.get(word, word)
            case.expected = event.get("notifications", 0)


def _wrong(case: Case, accepted: Mapping[str, int], asked: int) -> Iterable[str]:
    if case.end is None:
        said = f"the unit is {case.unit}, {len(case.notifications)} of {case.expected} notifications have an end"
        yield f"unaccounted: {said}"
        return
    if case.end not in case.odd.ends:
        yield f"{case.end}, not {' or '.join(sorted(case.odd.ends))}"
    if len(case.odd.ends) == 1 and asked > 1:
        yield f"sent {asked} times, and the first answer was one for good"
    if case.unit == "dead" and not case.letters:
        yield "said to be dead, and no dead letter"
    yield from (f"{id_}: what was parked of it could not be read: {case.dead[id_]}" for id_ in sorted(case.unread))
    for id_, word in case.notifications.items():
        yield from _wrong_of_one(case, id_, word, accepted.get(id_, 0))


def _wrong_of_one(case: Case, id_: str, word: str, accepted: int) -> Iterable[str]:
    """``word``: what the workers said of it last."""
    if word == "dead" and id_ not in case.dead:
        yield f"{id_} is said to be dead, and is no dead letter"
    if word == "delivered" and not (case.odd.answer or accepted):
        yield f"{id_} is said to be delivered, and nobody has it"
    if accepted > 1 and case.odd.dialogue is None:
        yield f"{id_} was accepted {accepted} times"


def _again(event: Record) -> bool:
    return str(event.get("reason")).startswith(AGAIN)


def _name(unit: Record) -> str:
    return str(unit.get("work_unit_id"))


def _object(body: bytes) -> Record:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
