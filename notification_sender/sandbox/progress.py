"""Shows the progress of the demo: a table that is redrawn in a terminal, else one line a second."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from notification_sender.sandbox.report import Report
from notification_sender.telemetry import log

LINES = 1.0
FRAMES = 0.2
"""Seconds between two lines, and between two drawings of the table. Each costs the demo about 2 ms."""
BAR = 32


class Display(Protocol):
    """Shows a report at once. ``every``: seconds until the next one."""

    every: float

    def show(self, seen: Report) -> None: ...


class Lines:
    """Lines for a file, a pipe or a terminal that cannot move its cursor."""

    every = LINES

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, seen: Report) -> None:
        text = f"  {seen.webhooks + seen.emails} of {seen.expected} accepted"
        self._console.print(text, highlight=False, soft_wrap=True)


class LiveTable:
    """A table for a terminal. A warning that is logged meanwhile is written above it, so that the table stays whole."""

    every = FRAMES

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, redirect_stderr=sys.stderr.isatty())

    def __enter__(self) -> Self:
        self._live.__enter__()
        log.to_people()  # the log keeps the stream that was standard error when it was set up
        return self

    def __exit__(self, *failure: object) -> None:
        self._live.__exit__(None, None, None)
        log.to_people()

    def show(self, seen: Report) -> None:
        self._live.update(table(seen), refresh=True)


def display(console: Console | None = None) -> AbstractContextManager[Display]:
    """Return a table if standard output is a terminal, else lines."""
    console = console or Console()
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveTable(console)
    return nullcontext(Lines(console))


def table(seen: Report) -> Table:
    """Return the report so far: the accepted notifications by channel, and the API calls."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(min_width=9)
    rows.add_column(width=BAR)
    rows.add_column(justify="right", style="bold")
    rows.add_column(style="dim")
    each = seen.expected // 2
    _row(rows, "webhooks", seen.webhooks, each, f"{seen.verified} verified, {seen.unverified} not")
    _row(rows, "emails", seen.emails, each, f"{seen.duplicates} duplicates")
    rate = (seen.webhooks + seen.emails) / max(seen.seconds, 0.001)
    calls = f"{seen.total_calls} API calls for {seen.units} work units"
    rows.add_row("", f"[dim]{calls}[/]", f"{rate:.0f}/s", f"{seen.seconds:.1f} s")
    return rows


async def follow(
    shown: Display, done: Awaitable[object], current_report: Callable[[], Report], deadline: float
) -> None:
    """Show the progress until ``done`` has ended, or for ``deadline`` seconds."""
    ending, until = asyncio.ensure_future(done), time.monotonic() + deadline
    try:
        while not ending.done() and time.monotonic() < until:
            await asyncio.wait({ending}, timeout=shown.every)
            shown.show(current_report())
    finally:
        ending.cancel()


def _row(rows: Table, name: str, count: int, of: int, about: str) -> None:
    bar = ProgressBar(total=of, completed=count, width=BAR, complete_style="green", finished_style="green")
    rows.add_row(name, bar, f"{count}/{of}", about)
