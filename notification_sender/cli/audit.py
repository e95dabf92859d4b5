"""Accounts for every work unit of a batch."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notification_sender.cli.exit_codes import PROBLEM_FOUND

if TYPE_CHECKING:
    from notification_sender.policy.audit import Audit, Ends, RecordedOutcome


def audit(
    *,
    batch: Annotated[str, typer.Option(metavar="ID", help="The batch id, as its work units have it in `batch`.")],
    organization: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this organization; default: all that have such a batch.")
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="List each that is dead, or suppressed because its destination is off.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with everything.")] = False,
) -> None:
    """Account for every work unit of a batch.

    Exit code 1 if any is missing, dead, or suppressed because its destination is off.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    found = asyncio.run(app.audit(Settings.load(os.environ), batch, organization))
    if found or as_json:
        print(_json(batch, found) if as_json else _lines(found, listed=failed))
    if not found:
        print(f"batch {batch} is unknown: no worker has taken a work unit of it yet", file=sys.stderr)
    elif not (failed or as_json) and any(it.failed for it in found.values()):
        print(f"to list them: notification-sender audit --batch {batch} --failed", file=sys.stderr)
    raise typer.Exit(0 if found and all(it.well for it in found.values()) else PROBLEM_FOUND)


def _lines(found: Mapping[str, "Audit"], *, listed: bool) -> str:
    """The lines for people. If several organizations use the id, each line names its organization."""
    lines: list[str] = []
    for owner, it in found.items():
        lines.append(f"{it}, organization: {owner}" if len(found) > 1 else str(it))
        lines += _ends("notifications", it.notifications)
        if it.units:
            lines += _ends("units without notifications", it.units)
        if listed:
            lines += _failed(it)
    return "\n".join(lines)


def _ends(what: str, ends: "Ends") -> list[str]:
    """The counts by outcome, then by reason, the most frequent first. A delivery has no reason."""
    from notification_sender.policy.audit import parts  # noqa: PLC0415 - not paid by --help

    reasons = sorted((-number, *end) for end, number in ends.items() if end[1])
    return [
        f"  {what}: {ends.total()} ({parts(ends)})",
        *(f"    {outcome} {reason}: {-number}" for number, outcome, reason in reasons),
    ]


def _failed(audit: "Audit") -> list[str]:
    rows = [
        (f"{it.state} {it.reason}", _work_unit(unit), it.destination_id or "-", it.notification_id or "-")
        for unit, it in audit.failed
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _work_unit(name: str) -> str:
    """The id of the unit: in the ledger, ``@`` and the fingerprint follow it."""
    return name.partition("@")[0]


def _json(batch: str, found: Mapping[str, "Audit"]) -> str:
    if not found:
        return json.dumps({"batch": batch, "seen": False})
    each = [{"organization_id": owner, **_numbers(it)} for owner, it in found.items()]
    missing = sum(it.missing for it in found.values())
    together = _numbers(reduce(add, found.values())) | {"missing": missing}
    return json.dumps({"batch": batch, "seen": True, **together, "organizations": each})


def _numbers(audit: "Audit") -> dict[str, Any]:
    names = ("expected", "delivered", "suppressed", "waiting", "dead", "missing")
    units = {name: getattr(audit, name) for name in names}
    return units | {
        "notifications": _counts(audit.notifications),
        "without_notifications": _counts(audit.units),
        "failed": [_record(unit, it) for unit, it in audit.failed],
    }


def _counts(ends: "Ends") -> list[dict[str, Any]]:
    return [
        {"outcome": outcome, "reason": reason or None, "count": number}
        for (outcome, reason), number in sorted(ends.items())
    ]


def _record(unit: str, outcome: "RecordedOutcome") -> dict[str, str | None]:
    return {
        "work_unit_id": _work_unit(unit),
        "notification_id": outcome.notification_id or None,
        "destination_id": outcome.destination_id or None,
        "outcome": outcome.state,
        "reason": outcome.reason,
    }
