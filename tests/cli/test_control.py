"""What the commands print that change something, and how they end."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from notification_sender.adapters.redis.operators import Trouble
from notification_sender.app.destinations import DestinationState, SwitchResult
from notification_sender.app.pauses import PauseResult, ResumeResult
from notification_sender.app.waiting import About, RetryResult, WaitingFilter
from notification_sender.app.withheld import Resent
from notification_sender.model.override import Override, PauseScope
from tests.cli.stand_in import App, Command

MOMENT = 1_772_785_560.0
ORG = PauseScope("org-1")
PAUSE = Override("pause", ORG.subject, MOMENT, MOMENT + 3600.0, "anna@bastion", note="INC-1")
RECORD = {
    "subject": "organization/org-1",
    "since": "2026-03-06T08:26:00Z",
    "until": "2026-03-06T09:26:00Z",
    "by": "anna@bastion",
    "note": "INC-1",
}


def test_a_pause_says_what_and_until_when(command: Command, app: App) -> None:
    app.answer = PauseResult(PAUSE, "")
    one = ("pause", "--organization", "org-1", "--for", "1h", "--yes", "--by", "anna@bastion", "--note", "INC-1")
    assert command(*one).out == "paused: organization org-1, until 2026-03-06T09:26:00Z\n"
    assert json.loads(command(*one, "--json").out) == RECORD
    assert app.asked[0] == (ORG, {"seconds": 3600.0, "by": "anna@bastion", "note": "INC-1"})


def test_a_pause_without_an_event_says_so_and_is_made(command: Command, app: App) -> None:
    app.answer = PauseResult(PAUSE, "RabbitMQ refuses connections")
    ended = command("pause", "--organization", "org-1", "--for", "1h", "--yes")
    assert (ended.code, ended.err) == (0, "it is done, but its event was not published: RabbitMQ refuses connections\n")


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--all", "--channel", "email"),
        ("--destination", "noc"),
        ("--organization", "org-1", "--destination", "noc", "--channel", "email"),
        ("--organization", "*"),
    ],
)
def test_a_scope_that_names_nothing_or_does_not_fit_is_refused(command: Command, app: App, options: Any) -> None:
    assert command("pause", *options, "--for", "1h", "--yes").code == 2
    assert command("resume", *options, "--yes").code == 2
    assert app.asked == []


@pytest.mark.parametrize(
    "command_", ["pause --all", "destinations disable o d", "circuits open api/aaa", "throttle set o webhook off"]
)
def test_what_would_not_last_as_long_as_it_says_is_refused(command: Command, app: App, command_: str) -> None:
    ended = command(*command_.split(), "--for", "90d", "--yes")
    assert (ended.code, "at most 30d" in ended.err) == (2, True)
    assert app.asked == []


@pytest.mark.parametrize("options", [(), ("--for", "soon"), ("--for", "0s")])
def test_a_pause_needs_an_end(command: Command, app: App, options: Any) -> None:
    ended = command("pause", "--all", *options, "--yes")
    assert (ended.code, "--for" in ended.err or "duration" in ended.err or "1s" in ended.err) == (2, True)
    assert app.asked == []


def test_a_pause_of_a_channel_that_does_not_exist_is_refused(command: Command) -> None:
    for words in (("pause", "--for", "1h"), ("resume",)):
        done = command(*words, "--channel", "emial", "--yes")
        assert done.code == 2
        assert "emial" in done.err


def test_where_nobody_can_be_asked_nothing_is_changed(command: Command, app: App) -> None:
    for line in (("pause", "--all", "--for", "1h"), ("resume", "--all"), ("destinations", "disable", "org-1", "noc")):
        ended = command(*line)
        assert (ended.code, "--yes" in ended.err) == (2, True)
    assert app.asked == []


def test_the_pauses_are_listed(command: Command, app: App) -> None:
    app.answer = [PAUSE, Override("pause", "channel/email", MOMENT, MOMENT + 60.0, "ben@host")]
    assert command("pause", "--list").out.splitlines() == [
        "organization org-1                  until 2026-03-06T09:26:00Z  by anna@bastion: INC-1",
        "channel email of all organizations  until 2026-03-06T08:27:00Z  by ben@host",
    ]
    app.answer = []
    assert command("pause", "--list").out == "nothing is paused\n"


@pytest.mark.parametrize(
    ("answer", "code", "begins"),
    [
        (ResumeResult(PAUSE, 3, ""), 0, "resumed"),
        (ResumeResult(None, 3, ""), 0, "was not"),
        (ResumeResult(None, 0, ""), 1, "was not"),
    ],
)
def test_a_resume_ends_well_where_something_was_paused_or_waited(
    command: Command, app: App, answer: ResumeResult, code: int, begins: str
) -> None:
    app.answer = answer
    ended = command("resume", "--organization", "org-1", "--yes", "--by", "anna")
    assert (ended.code, ended.out.startswith(begins)) == (code, True)
    assert app.asked == [(ORG, {"by": "anna"})]


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (RetryResult(1240, 37, ""), 0, "tried now: 37 of 1240 waiting messages"),
        (RetryResult(1240, 0, ""), 1, "none of 1240 waiting messages matches"),
    ],
)
def test_a_retry_says_how_many(command: Command, app: App, answer: RetryResult, code: int, said: str) -> None:
    app.answer = answer
    ended = command("retry", "--reason", "failed", "--yes", "--by", "anna")
    assert (ended.code, ended.out) == (code, f"{said}\n")
    assert app.asked == [(WaitingFilter(reason="failed"), {"by": "anna", "dry_run": False})]


def test_a_retry_of_everything_is_no_retry(command: Command, app: App) -> None:
    assert command("retry", "--yes").code == 2
    assert app.asked == []


def test_a_destination_is_shown_with_what_waits_for_it(command: Command, app: App) -> None:
    app.answer = DestinationState("org-1", "noc", [], [PAUSE], {"failed": 12}, "answered 503", MOMENT)
    ended = command("destinations", "show", "org-1", "noc")
    assert ended.code == 1
    assert ended.out.splitlines() == [
        "noc of org-1",
        "  paused until 2026-03-06T09:26:00Z, by anna@bastion (organization/org-1)",
        "  waiting, failed: 12",
        "  last error at 2026-03-06T08:26:00Z: answered 503",
    ]
    assert json.loads(command("destinations", "show", "org-1", "noc", "--json").out)["waiting"] == {"failed": 12}
    app.answer = DestinationState("org-1", "noc", [], [])
    ended = command("destinations", "show", "org-1", "noc")
    assert (ended.code, ended.out) == (0, "noc of org-1: no problem is known, and nothing waits\n")


def test_a_pause_of_a_channel_holds_a_destination_only_if_it_has_that_channel(command: Command, app: App) -> None:
    mails = replace(PAUSE, subject="channel/email")
    app.answer = DestinationState("org-1", "noc", [], [mails], channels={"webhook"})
    ended = command("destinations", "show", "org-1", "noc", "--json")
    assert (ended.code, json.loads(ended.out)["pauses"]) == (0, [])
    app.answer = DestinationState("org-1", "noc", [], [mails], channels={"email"})
    assert command("destinations", "show", "org-1", "noc").code == 1
    app.answer = DestinationState("org-1", "noc", [], [mails])
    ended = command("destinations", "show", "org-1", "noc")
    assert (ended.code, ended.out.splitlines()[-1]) == (
        0,
        "  paused until 2026-03-06T09:26:00Z, by anna@bastion (channel/email), if it is of that channel: email",
    )


def test_a_destination_that_is_not_known_is_a_problem(command: Command, app: App) -> None:
    app.answer = DestinationState("org-1", "nok", [], [], unknown="no destination is called 'nok'; did you mean 'noc'?")
    ended = command("destinations", "show", "org-1", "nok")
    assert (ended.code, ended.err) == (1, "no destination is called 'nok'; did you mean 'noc'?\n")


def test_times_of_destinations_are_text(command: Command, app: App) -> None:
    trouble = Trouble("org-1", "noc", "3f0c9a1e", "gone", MOMENT, 0.0, 0.0)
    app.answer = [trouble]
    [listed] = json.loads(command("destinations", "list", "--json").out)
    assert (listed["until"], listed["failing_since"]) == ("2026-03-06T08:26:00Z", None)
    app.answer = DestinationState("org-1", "noc", [trouble], [], {}, "answered 503", MOMENT)
    shown = json.loads(command("destinations", "show", "org-1", "noc", "--json").out)
    assert (shown["troubles"], shown["last_error_at"]) == ([listed], "2026-03-06T08:26:00Z")


def test_a_destination_is_switched_off_with_an_end(command: Command, app: App) -> None:
    app.answer = SwitchResult(1, MOMENT, "")
    ended = command("destinations", "disable", "org-1", "noc", "--for", "1h", "--yes", "--by", "anna")
    assert (ended.code, ended.out) == (0, "noc of org-1: off until 2026-03-06T08:26:00Z\n")
    assert app.asked == [("org-1", "noc", {"seconds": 3600.0, "by": "anna", "note": ""})]


NOC = ("destinations", "enable", "--organization", "org-1", "--destination", "noc")


def test_what_was_withheld_is_sent_after_yes_and_announced(command: Command, app: App) -> None:
    app.answer = SwitchResult(1, 0.0, "")
    app.resent = Resent(5, 2, 1, Counter({"expired": 2}), not_kept=4)
    assert (command(*NOC, "--resend").code, app.asked) == (2, [])
    ended = command(*NOC, "--resend", "--yes", "--by", "anna")
    assert (ended.code, ended.out.splitlines()) == (
        0,
        [
            "noc of org-1: enabled",
            "sent: 2 of 5 that were withheld",
            "already delivered, not sent again: 1",
            "not sent: 2, expired",
            "not kept: 4; publish their work units again under new ids",
        ],
    )
    assert [(it.change, it.by, it.count) for it in app.announced] == [("resent", "anna", 2)]


def test_a_dry_run_of_a_resend_changes_nothing(command: Command, app: App) -> None:
    app.resent = Resent(5, 0, 5)
    ended = command(*NOC, "--dry-run", "--json")
    assert (ended.code, json.loads(ended.out)) == (
        1,
        {"enabled": False, "matched": 5, "would_send": 0, "skipped_delivered": 5, "skipped_unwanted": 0, "not_kept": 0},
    )
    assert (app.asked, app.announced) == ([("org-1", "noc", True)], [])


def test_a_destination_that_is_enabled_is_asked_for_in_no_script(command: Command, app: App) -> None:
    app.answer = SwitchResult(1, 0.0, "")
    assert json.loads(command(*NOC, "--json").out) == {"enabled": True}
    assert app.asked == [("org-1", "noc")]


UNIT = b'{"organization_id": "org-1", "work_unit_id": "wu-1"}'
NOTIFICATION = (
    b'{"organization_id": "org-1", "work_unit_id": "wu-1", "notification_id": "n-1",'
    b' "destination": {"destination_id": "noc", "channel": "email"}}'
)


@pytest.mark.parametrize(
    ("scope", "unit", "notification"),
    [
        (PauseScope(), True, True),
        (PauseScope("org-1"), True, True),
        (PauseScope("org-2"), False, False),
        (PauseScope(channel="email"), False, True),
        (PauseScope("org-1", channel="webhook"), False, False),
        (PauseScope("org-1", destination_id="noc"), False, True),
    ],
    ids=lambda it: getattr(it, "subject", str(it)),
)
def test_a_pause_holds_a_unit_by_its_organization_and_a_notification_by_all_its_names(
    scope: PauseScope, *, unit: bool, notification: bool
) -> None:
    assert About.of(UNIT).is_held_by(scope) is unit
    assert About.of(NOTIFICATION).is_held_by(scope) is notification
    assert not About.of(b"no JSON").is_held_by(PauseScope("org-1"))
