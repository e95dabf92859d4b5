"""What `explain` prints, and which ids it takes."""

import json
from dataclasses import replace

import pytest

from notification_sender.policy.story import Story
from tests.cli.stand_in import App, Command

EVENT = {
    "at": "2026-03-06T08:26:01.214Z",
    "process": "a:1",
    "kind": "notification",
    "name": "570ea7a1-0000",
    "attempt": 1,
}
WAITS = {"until": "2026-03-07T08:26:01.000Z", "times": 3, "since": "2026-03-06T08:25:00.000Z"}
EVENTS = [
    EVENT | {"step": "admit", "outcome": "deferred", "reason": "throttled", "limit": "webhook"} | WAITS,
    EVENT | {"step": "send", "outcome": "dead", "reason": "gone", "ms": 5.0, "sources": {"incident": "hit 2s"}},
]
LINE = "08:26:01.214  a:1  570ea7a1  "
STORY = Story("wu-1", "unit", "org-1", "wu-1", "dead", "gone", {}, EVENTS, letter=True)


def test_each_event_is_a_line_with_its_facts_below_it(command: Command, app: App) -> None:
    app.answer = STORY
    ended = command("explain", "wu-1")
    assert (ended.code, ended.out.splitlines()) == (
        0,
        [
            "unit wu-1, of org-1: dead gone",
            "",
            "2026-03-06 (UTC)",
            f"{LINE}admit 1: deferred, throttled:webhook  until 2026-03-07T08:26:01.000Z, 3 times since 08:25:00.000",
            f"{LINE}send 1: dead, gone  5 ms",
            "              sources: incident hit 2s",
            "",
            "its dead letter: notification-sender dead show wu-1",
        ],
    )
    told = json.loads(command("explain", "wu-1", "--json").out)
    assert (told["id"], told["kind"], told["end"], told["events"]) == ("wu-1", "unit", "dead", EVENTS)


@pytest.mark.parametrize(
    ("letter", "said"),
    [
        (False, "its dead letter is not there any more: it was dropped, or moved back"),
        (None, "its dead letter: notification-sender dead show wu-1, unless it was dropped (RabbitMQ did not say)"),
    ],
)
def test_a_letter_that_was_dropped_is_not_pointed_to(
    command: Command,
    app: App,
    letter: bool | None,  # noqa: FBT001 - a parameter of the test
    said: str,
) -> None:
    app.answer = replace(STORY, letter=letter)
    assert command("explain", "wu-1").out.splitlines()[-1] == said


def test_what_waits_is_told_with_its_reason(command: Command, app: App) -> None:
    now = {"kind": "unit", "name": "wu-1", "state": "waiting", "until": "2026-03-06T08:27:00.000Z", "reason": "paused"}
    app.answer = replace(STORY, end="waiting", reason="", now=now)
    assert (
        command("explain", "wu-1").out.splitlines()[-1] == "now: the unit waits until 2026-03-06T08:27:00.000Z: paused"
    )


@pytest.mark.parametrize("given", ["570ea7a1-0000", "<570ea7a1-0000@example.com>", "570ea7a1-0000@example.com"])
def test_a_message_id_is_the_id_of_its_notification(command: Command, app: App, given: str) -> None:
    app.answer = STORY
    command("explain", given, "--organization", "org-1")
    assert app.asked == [("570ea7a1-0000", "org-1")]


@pytest.mark.usefixtures("app")
def test_an_id_that_is_unknown_or_no_id_is_refused(command: Command) -> None:
    ended = command("explain", "wu-2")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("nothing is known of wu-2")
    assert command("explain", "wu*").code == 2
