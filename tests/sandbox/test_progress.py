import asyncio
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO

import pytest
import structlog
from rich.console import Console

from notification_sender.sandbox.progress import LiveTable, display, follow
from notification_sender.sandbox.report import Report
from notification_sender.telemetry import log

SEEN = Report(
    units=400,
    expected=800,
    seconds=2.0,
    calls={"POST /assets/bulk": 13},
    forbidden=0,
    leaked=0,
    webhooks=300,
    emails=100,
    duplicates=0,
    verified=300,
    unverified=0,
)


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    """A table sets the log up for people."""
    yield
    log.configure(form="json", level="warning")


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def console(*, terminal: bool) -> tuple[Console, StringIO]:
    written = StringIO()
    return Console(file=written, force_terminal=terminal, width=100, legacy_windows=False, _environ={}), written


def test_where_there_is_no_terminal_progress_is_plain_lines() -> None:
    told, written = console(terminal=False)
    with display(told) as shown:
        shown.show(SEEN)
        shown.show(replace(SEEN, emails=400))
    assert written.getvalue() == "  400 of 800 accepted\n  700 of 800 accepted\n"


def test_in_a_terminal_one_table_is_drawn_anew() -> None:
    told, written = console(terminal=True)
    with display(told) as shown:
        assert isinstance(shown, LiveTable)
        shown.show(SEEN)
        shown.show(replace(SEEN, emails=400))
    text = written.getvalue()
    for part in ("webhooks", "300/400", "300 verified, 0 not", "emails", "400/400", "200/s", "13 API calls"):
        assert part in text
    assert "\x1b[1A" in text, "the cursor goes up to draw over what was drawn"


def test_a_warning_is_written_above_the_table_and_beside_it_later(monkeypatch: pytest.MonkeyPatch) -> None:
    told, written = console(terminal=True)
    errors = Terminal()
    monkeypatch.setattr(sys, "stderr", errors)
    with display(told) as shown:
        shown.show(SEEN)
        structlog.get_logger().warning("loop.stalled")
    assert "loop.stalled" in written.getvalue()
    assert errors.getvalue() == ""
    structlog.get_logger().warning("loop.stalled")
    assert "loop.stalled" in errors.getvalue()


def test_a_terminal_that_cannot_move_its_cursor_gets_lines() -> None:
    written = StringIO()
    told = Console(file=written, force_terminal=True, _environ={"TERM": "dumb"})
    with display(told) as shown:
        shown.show(SEEN)
    assert "\x1b" not in written.getvalue()


async def test_progress_is_followed_to_the_end_which_is_shown() -> None:
    told, written = console(terminal=False)
    done = asyncio.Event()

    def current_report() -> Report:
        done.set()
        return SEEN

    with display(told) as shown:
        shown.every = 0.0
        await follow(shown, done.wait(), current_report, deadline=60)
    assert written.getvalue().count("accepted") >= 1


async def test_after_the_deadline_nothing_is_waited_for() -> None:
    told, _ = console(terminal=False)
    never = asyncio.Event()
    with display(told) as shown:
        await follow(shown, never.wait(), lambda: SEEN, deadline=0)
    assert not never.is_set()
