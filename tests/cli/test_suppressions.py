import io
import json
import sys
from types import SimpleNamespace

import pytest

from notification_sender.model.destination import Suppression, recipient_hash
from tests.cli.stand_in import App, Command

NOC, OPS = recipient_hash("noc@example.com"), recipient_hash("ops@example.com")
ORGANIZATION = ("--organization", "org-1")


@pytest.fixture
def standard_input(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """What - reads."""
    stream = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
    return stream


def test_an_address_is_suppressed_by_its_hash(command: Command, app: App) -> None:
    ended = command("suppressions", "add", *ORGANIZATION, "NOC@Example.com", "--for", "30d", "--reason", "asked")
    assert ended.code == 0
    assert app.asked == [("org-1", [NOC], {"seconds": 30 * 86_400, "reason": "asked"})]
    assert "noc" not in f"{ended.out}{ended.err}".lower()
    [change] = app.announced
    assert (change.change, change.count, change.note) == ("suppressed", 1, None)
    assert "noc@example.com" not in str(change).lower()


def test_addresses_are_read_one_a_line_and_each_once(command: Command, app: App, standard_input: io.BytesIO) -> None:
    standard_input.write(b"noc@example.com\r\n\n  ops@example.com \nNOC@example.com")
    standard_input.seek(0)
    assert command("suppressions", "add", *ORGANIZATION, "-").code == 0
    assert app.asked == [("org-1", [NOC, OPS], {"seconds": 365 * 86_400, "reason": ""})]


def test_one_faulty_line_and_nothing_is_done_and_no_address_repeated(
    command: Command, app: App, standard_input: io.BytesIO
) -> None:
    standard_input.write(b"noc@example.com\nSecret Name <who@example.com>\n\xff\n")
    standard_input.seek(0)
    ended = command("suppressions", "add", *ORGANIZATION, "-")
    assert (ended.code, app.asked) == (2, [])
    assert "line 2, 3" in ended.err
    assert "who@" not in ended.err


@pytest.mark.parametrize(
    "line",
    ["add noc", "add", "add noc@example.com --for never", "add noc@example.com --for 0s", "add a@b.c --for 4000d"],
)
def test_what_cannot_be_meant_is_wrong_usage(command: Command, app: App, line: str) -> None:
    verb, *rest = line.split()
    assert command("suppressions", verb, *ORGANIZATION, *rest).code == 2
    assert app.asked == []


@pytest.mark.parametrize(("removed", "code"), [(1, 0), (0, 1)])
def test_removing_says_whether_there_was_anything(command: Command, app: App, removed: int, code: int) -> None:
    app.answer = removed
    assert command("suppressions", "remove", *ORGANIZATION, "noc@example.com").code == code
    assert app.asked == [("org-1", [NOC])]


def test_the_list_is_of_hashes(command: Command, app: App) -> None:
    app.answer = [Suppression(NOC, left=60.0, reason="asked"), Suppression(OPS, left=60.0, reason="")]
    rows = json.loads(command("suppressions", "list", *ORGANIZATION, "--json").out)
    assert [(row["recipient"], row["reason"]) for row in rows] == [(NOC, "asked"), (OPS, "")]
    assert all(row["until"].endswith("Z") for row in rows)
    lines = [line.split() for line in command("suppressions", "list", *ORGANIZATION).out.splitlines()]
    assert [(line[0], line[2:]) for line in lines] == [(NOC, ["asked"]), (OPS, [])]
