"""Lists the organizations that have something in hand or waiting, and what holds them up."""

import asyncio
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notification_sender.cli.conventions import optional_identifier, utc_text

if TYPE_CHECKING:
    from notification_sender.app.commands import OrganizationState

HEADS = ("ORGANIZATION", "IN HAND", "SHARE", "WAITING", "NEXT", "THROTTLED")


def orgs(
    *,
    organization: Annotated[
        str | None, typer.Option(metavar="ID", callback=optional_identifier, help="Only this organization.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List what organizations have in hand and waiting.

    The share is that of all deliveries that the fleet has in hand. Scans all keys of Redis in small steps.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    found = asyncio.run(app.organizations(Settings.load(os.environ), organization))
    total = sum(it.in_hand for it in found)
    if as_json:
        print(json.dumps([_known(it, total) for it in found]))
        return
    if not found:
        print("no organization has anything in hand or waiting")
        return
    rows = [HEADS, *(_row(it, total) for it in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def _row(state: "OrganizationState", total: int) -> tuple[str, ...]:
    names = sorted({*state.booked_until, *state.limits})
    return (
        state.organization_id,
        str(state.in_hand),
        f"{state.in_hand / total:.0%}" if total else "-",
        f"{state.waiting:,}",
        utc_text(state.next_due) if state.next_due else "-",
        ", ".join(_throttle(name, state) for name in names) or "-",
    )


def _throttle(name: str, state: "OrganizationState") -> str:
    until = f" until {utc_text(state.booked_until[name])}" if name in state.booked_until else ""
    waits = f" ({state.limits[name]:,} wait)" if name in state.limits else ""
    return f"{name}{until}{waits}"


def _known(state: "OrganizationState", total: int) -> dict[str, Any]:
    return asdict(state) | {
        "share": round(state.in_hand / total, 4) if total else 0.0,
        "next_due": utc_text(state.next_due) if state.next_due else None,
        "booked_until": {name: utc_text(until) for name, until in state.booked_until.items()},
    }
