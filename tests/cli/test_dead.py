"""What `dead` prints, and how it ends."""

import json
from collections import Counter

import pytest

from notification_sender.app.dead_letters import LetterFilter, LetterGroup, ReplayResult
from tests.cli.stand_in import App, Command

MOMENT = 1_772_785_560.0
ONE = ("--reason", "gone", "--organization", "org-1", "--destination", "noc")


def test_letters_are_listed_by_reason_and_destination_with_what_the_oldest_says(command: Command, app: App) -> None:
    app.answer = [
        LetterGroup("render", "org-1", "noc", 20, MOMENT, "line 28"),
        LetterGroup("malformed", None, None, 1, MOMENT, "not JSON"),
    ]
    assert command("dead", "list").out.splitlines() == [
        "20  render  org-1  noc  since 2026-03-06T08:26:00Z: line 28",
        "1  malformed  -  work unit  since 2026-03-06T08:26:00Z: not JSON",
    ]
    first, second = json.loads(command("dead", "list", "--json").out)
    assert first == {
        "reason": "render",
        "organization_id": "org-1",
        "destination_id": "noc",
        "count": 20,
        "oldest": "2026-03-06T08:26:00Z",
        "detail": "line 28",
    }
    assert (second["organization_id"], second["destination_id"]) == (None, None)


def test_where_there_is_none_it_is_said(command: Command, app: App) -> None:
    app.answer = []
    ended = command("dead", "list", *ONE)
    assert (ended.code, ended.out) == (0, "there are no dead letters\n")
    assert app.asked == [LetterFilter("gone", "org-1", "noc")]
    assert command("dead", "list", "--json").out == "[]\n"


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (ReplayResult(), 1, ["no dead letter matches"]),
        (ReplayResult(3, 3), 0, ["moved back: 3 of 3"]),
        (ReplayResult(3, 2, 1), 0, ["moved back: 2 of 3", "already delivered, not sent again: 1"]),
        (ReplayResult(3, 0, 0, Counter({"expired": 3})), 1, ["moved back: 0 of 3", "stays: 3, expired"]),
    ],
)
def test_a_replay_ends_well_where_there_was_a_letter_and_none_had_to_stay(
    command: Command, app: App, answer: ReplayResult, code: int, said: list[str]
) -> None:
    app.answer = answer
    ended = command("dead", "replay", *ONE)
    assert (ended.code, ended.out.splitlines()) == (code, said)
    assert app.asked == [(LetterFilter("gone", "org-1", "noc"), {"dry_run": False})]


def test_a_dry_run_says_that_it_is_one(command: Command, app: App) -> None:
    app.answer = ReplayResult(4, 1, 1, Counter({"expired": 1, "off": 1}))
    assert command("dead", "replay", "--dry-run").out.startswith("to be moved back: 1 of 4\n")
    assert json.loads(command("dead", "replay", "--dry-run", "--json").out) == {
        "matched": 4,
        "would_send": 1,
        "skipped_delivered": 1,
        "skipped_unwanted": 2,
    }
    assert app.asked[0] == (LetterFilter(), {"dry_run": True})
