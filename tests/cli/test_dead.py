"""What `dead` prints, and how it ends."""

import json
from collections import Counter

import pytest

from notification_sender.app.dead_letters import LetterFilter, LetterGroup, ShownLetters
from notification_sender.app.dead_replay import ReplayResult
from notification_sender.model.errors import Unready
from notification_sender.policy.limits import Limit
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
    ended = command("dead", "list")
    assert (ended.code, ended.out) == (0, "there are no dead letters\n")
    assert command("dead", "list", "--json").out == "[]\n"


def test_a_name_that_no_letter_has_is_said_with_those_that_there_are(command: Command, app: App) -> None:
    app.answer = []
    app.every = [
        LetterGroup("render", "org-1", "noc", 20, MOMENT, ""),
        LetterGroup("rejected", "org-1", "sms", 1, MOMENT),
    ]
    ended = command("dead", "list", "--reason", "rejcted")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        "no reason of a dead letter is called 'rejcted'; did you mean 'rejected'? there are: rejected, render\n"
    )
    ended = command("dead", "list", "--reason", "render", "--destination", "sms", "--json")
    assert (ended.code, ended.out, ended.err) == (1, "[]\n", "no dead letter matches\n")


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (ReplayResult(), 1, ["no dead letter matches"]),
        (ReplayResult(3, 3), 0, ["moved back: 3 of 3"]),
        (
            ReplayResult(3, 2, 1, delivered=Counter({"webhook": 2})),
            0,
            [
                "moved back: 2 of 3",
                "already delivered, not sent again: 1",
                "notifications delivered before: 2 by webhook",
            ],
        ),
        (ReplayResult(3, 0, 0, Counter({"expired": 3})), 1, ["moved back: 0 of 3", "stays: 3, expired"]),
    ],
)
def test_a_replay_ends_well_where_there_was_a_letter_and_none_had_to_stay(
    command: Command, app: App, answer: ReplayResult, code: int, said: list[str]
) -> None:
    app.answer = answer
    ended = command("dead", "replay", *ONE)
    assert (ended.code, ended.out.splitlines()) == (code, said)
    assert app.asked == [(LetterFilter("gone", "org-1", "noc"), {"dry_run": False, "rate": None})]


def test_a_dry_run_says_that_it_is_one(command: Command, app: App) -> None:
    app.answer = ReplayResult(4, 1, 1, Counter({"expired": 1, "off": 1}))
    assert command("dead", "replay", "--dry-run").out.startswith("to be moved back: 1 of 4\n")
    assert json.loads(command("dead", "replay", "--dry-run", "--json").out) == {
        "matched": 4,
        "would_send": 1,
        "skipped_delivered": 1,
        "skipped_unwanted": 2,
    }
    assert app.asked[0] == (LetterFilter(), {"dry_run": True, "rate": None})


def test_a_replay_is_announced_and_keeps_to_its_rate(command: Command, app: App) -> None:
    app.answer = ReplayResult(3, 3)
    assert command("dead", "replay", *ONE, "--rate", "600/minute", "--by", "anna").code == 0
    assert app.asked[0][1]["rate"] == Limit.per("rate", 600, 60, 1)
    [event] = app.announced
    assert event.data() == {
        "change": "replayed",
        "by": "anna",
        "subject": "dead-letters",
        "organization_id": "org-1",
        "destination_id": "noc",
        "reason": "gone",
        "count": 3,
    }
    assert command("dead", "replay", "--rate", "fast").code == 2
    app.answer = ReplayResult(3, 0, 3)
    command("dead", "replay")
    assert len(app.announced) == 1


def test_a_replay_that_is_cut_off_says_how_far_it_came(
    command: Command, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut_off(_settings: object, _wanted: object, counted: ReplayResult, **_: object) -> None:
        counted.in_queue, counted.looked_at, counted.matched, counted.would_send = 9, 4, 3, 3
        raise Unready("RabbitMQ is away")

    monkeypatch.setattr(app, "replay", cut_off)
    ended = command("dead", "replay")
    assert (ended.code, ended.out) == (1, "moved back: 3 of 3\n")
    assert ended.err.startswith("RabbitMQ is away, after 4 of 9 letters; run the command again")


def test_letters_are_dropped_only_where_it_is_said_which_and_yes(command: Command, app: App) -> None:
    app.answer = [LetterGroup("render", "org-1", "noc", 2, MOMENT, "line 28")]
    assert command("dead", "drop", "--yes").code == 2
    refused = command("dead", "drop", "--reason", "render")
    assert refused.code == 2
    assert "2 render noc" in refused.err
    assert command("dead", "drop", "--reason", "render", "--dry-run").out == "to be dropped: 2\n"
    assert app.dropped is None
    dropped = command("dead", "drop", "--reason", "render", "--yes", "--json")
    assert (dropped.code, json.loads(dropped.out)) == (0, {"matched": 2, "dropped": 2})
    assert [it.change for it in app.announced] == ["dropped"]
    app.answer = []
    assert command("dead", "drop", "--all", "--yes").code == 1


def test_a_letter_is_shown_with_its_attempts_below_its_reason(command: Command, app: App) -> None:
    attempt = {"attempt": 1, "at": "2026-03-06T08:26:00Z", "error": "answered 503", "sent": "answered"}
    last = {"attempt": 2, "at": None, "error": "answered 404", "sent": None}
    letter = {"reason": "rejected", "detail": "answered 404", "work_unit_id": "wu-1", "attempts": [attempt, last]}
    app.answer = ShownLetters([letter], 4)
    ended = command("dead", "show", "wu-1", "--limit", "3")
    assert (ended.code, ended.out.splitlines()) == (
        0,
        [
            "rejected: answered 404",
            "  work unit id     wu-1",
            "  attempt 1        2026-03-06T08:26:00Z  answered 503 (sent: answered)",
            "  attempt 2        the last              answered 404",
        ],
    )
    assert app.asked == [(LetterFilter(id="wu-1"), {"most": 3, "content": False})]
    assert ended.err == "3 more match, which are later; --limit shows more\n"
    app.answer = ShownLetters([], 0)
    assert command("dead", "show").code == 1
