"""The events of several records become one story, in order, whichever version wrote them."""

import json
from typing import Any

from notification_sender.policy.story import Chapter, story

START = 1_772_785_560_000_000
"""µs since the epoch: 2026-03-06T08:26:00Z."""


def chapter(kind: str, name: str, told: list[dict[str, Any]], **record: str) -> Chapter:
    return Chapter("org-1", kind, name, record, [json.dumps(it) for it in told])


def event(after: int, step: str, outcome: str, **more: Any) -> dict[str, Any]:
    return {"step": step, "outcome": outcome, "process": "a:1", "t": START + after} | more


def test_a_unit_that_ended_with_its_only_notification_is_told_from_its_first_claim_to_its_end() -> None:
    unit = chapter("unit", "wu-1@0a", [], state="done", notifications="n-1", first=f"{START} a:1")
    sent = chapter("notification", "n-1", [event(5, "send", "delivered", attempt=1)], state="delivered", text="200")
    told = story("wu-1", [unit, sent])
    assert (told.kind, told.end, told.work_unit_id) == ("unit", "delivered", "wu-1")
    assert [(it["name"], it["step"], it["outcome"], it["process"]) for it in told.events] == [
        ("wu-1@0a", "claim", "claimed", "a:1"),
        ("n-1", "send", "delivered", "a:1"),
        ("wu-1@0a", "end", "done", "a:1"),
    ]


def test_a_unit_counts_as_the_worst_of_its_notifications_and_says_what_waits() -> None:
    unit = chapter("unit", "wu-1", [event(1, "end", "done")], state="done", notifications="n-1 n-2")
    good = chapter("notification", "n-1", [], state="delivered", text="200")
    late = chapter("notification", "n-2", [], state="waiting", due=str(START + 7_000_000))
    told = story("wu-1", [unit, good, late])
    assert (told.end, told.reason) == ("waiting", "")
    assert told.now == {
        "kind": "notification",
        "name": "n-2",
        "state": "waiting",
        "until": "2026-03-06T08:26:07.000Z",
        "reason": "",
    }
    dead = chapter("notification", "n-2", [], state="dead", text="exhausted noc-hook")
    told = story("wu-1", [unit, good, dead])
    assert (told.end, told.reason, told.now) == ("dead", "exhausted", {})


def test_what_an_earlier_version_wrote_is_told_as_well() -> None:
    old = [{"attempt": 1, "at": START / 1e6, "ms": 5.0, "class": "failed"}, {"at": START / 1e6 + 1, "class": "gone"}]
    told = story("n-1", [chapter("notification", "n-1", old, state="dead", text="gone")])
    assert [(it["step"], it["outcome"], it["reason"]) for it in told.events] == [
        ("send", "failed", ""),
        ("send", "dead", "gone"),
    ]
    assert (told.end, told.work_unit_id) == ("dead", None)


def test_what_is_in_hand_names_its_process() -> None:
    held = chapter("unit", "wu-1", [], state="transmitting", holder="b:2", lease=str(START))
    told = story("wu-1", [held])
    assert (told.end, told.now["process"], told.now["lease_until"]) == ("waiting", "b:2", "2026-03-06T08:26:00.000Z")


def test_what_waits_before_its_first_claim_says_until_when_and_why() -> None:
    """As a notification whose secret is missing."""
    put_off = [event(3, "deliver", "deferred", reason="secret_missing", until=START + 9_000_000)]
    told = story("n-1", [chapter("notification", "n-1", put_off)])
    assert (told.end, told.now["state"], told.now["until"], told.now["reason"]) == (
        "waiting",
        "waiting",
        "2026-03-06T08:26:09.000Z",
        "secret_missing",
    )
