"""Lists the organizations that have something in hand or waiting, and what holds them up."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notification_sender.cli.conventions import optional_identifier, utc_text
from notification_sender.cli.exit_codes import PROBLEM_FOUND

if TYPE_CHECKING:
    from notification_sender.app.commands import OrganizationState

BY_RECORD = {"throttled", "paused"}
"""Reasons that the records and the overrides say better."""

SHOWN = 0.1
"""Deliveries that wait, on average: fewer are shown as the reason alone."""

HEADS = ("organization", "claimed", "share", "waiting", "due now", "next")


def orgs(
    *,
    organization: Annotated[
        str | None, typer.Option(metavar="ID", callback=optional_identifier, help="Only this organization.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List what organizations have claimed and waiting.

    The share is that of all claimed. Scans all keys of Redis in small steps. Exit code 1 if nothing is known of the
    organization.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    found = asyncio.run(app.organizations(Settings.load(os.environ), organization))
    total = sum(it.claimed for it in found)
    if as_json:
        print(json.dumps([_known(it, total) for it in found]))
    elif found:
        from notification_sender.cli import screen  # noqa: PLC0415 - not paid by --help

        causes = [(it.organization_id, known) for it in found if (known := list(_causes(it)))]
        parts = [screen.rows(HEADS, [_row(it, total) for it in found])]
        if causes:
            width = screen.console().width - 2
            parts.append(screen.section("What they wait for", screen.pairs(causes, width)))
        screen.show(*parts)
    elif organization is None:
        print("no organization has anything claimed or waiting")
    if organization is not None and not found:
        print(
            f"{organization}: nothing is claimed and nothing waits; or there is no such organization", file=sys.stderr
        )
        raise typer.Exit(PROBLEM_FOUND)


def _row(state: "OrganizationState", total: int) -> tuple[str, ...]:
    return (
        state.organization_id,
        f"{state.claimed:,}",
        f"{state.claimed / total:.0%}" if total else "-",
        f"{state.waiting:,}",
        f"{state.due:,}",
        utc_text(state.next_due) if state.next_due else "-",
    )


def _causes(state: "OrganizationState") -> Iterator[str]:
    for name in sorted({*state.booked_until, *state.limits}):
        until = f" until {_time(state.booked_until[name])}" if name in state.booked_until else ""
        waits = f" ({state.limits[name]:,} wait)" if name in state.limits else ""
        yield f"rate of {name}{until}{waits}"
    for it in state.overrides:
        words = {"pause": "paused", "rate": f"rate set to {it.value}", "circuit": f"circuit held {it.value}"}
        yield f"{words.get(it.kind, it.kind)} until {_time(it.until)}"
    for reason, number in sorted(state.reasons.items()):
        if reason not in BY_RECORD:
            yield f"{reason} ({number:g})" if number >= SHOWN else reason


def _time(at: float) -> str:
    """Of today, without the date."""
    text = utc_text(at)
    return text.partition("T")[2] if text[:10] == utc_text(time.time())[:10] else text


def _known(state: "OrganizationState", total: int) -> dict[str, Any]:
    return state.known() | {"share": round(state.claimed / total, 4) if total else 0.0}
