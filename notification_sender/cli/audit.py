"""Accounts for every work unit of a batch."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from notification_sender.cli.exit_codes import PROBLEM_FOUND

if TYPE_CHECKING:
    from notification_sender.model.unit import WorkUnit
    from notification_sender.policy.audit import Audit, Ends, RecordedOutcome


@dataclass(frozen=True, slots=True)
class Given:
    """The options that say which work units are audited; as text, as they are typed."""

    batch: str | None
    organization: str | None
    expect: BinaryIO | None
    since: str | None
    until: str | None

    def __str__(self) -> str:
        options = {
            "--batch": self.batch,
            "--organization": self.organization,
            "--expect": self.expect and self.expect.name,
            "--since": self.since,
            "--until": self.until,
        }
        return " ".join(f"{option} {value}" for option, value in options.items() if value)


def audit(
    *,
    batch: Annotated[
        str | None, typer.Option(metavar="ID", help="The batch id, as its work units have it in `batch`.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Without a batch: units first taken since then, RFC 3339 or 2h.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="With --since: and before then.")] = None,
    expect: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(metavar="FILE", help="Work units as for `publish`: audit these, and name the missing ones."),
    ] = None,
    organization: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this organization; default: all that have such a batch.")
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="List each that is dead, or suppressed because its destination is off.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with everything.")] = False,
) -> None:
    """Account for the work units of a batch, time or file.

    Exit code 1 if any is missing, dead, or suppressed because its destination is off.
    """
    if not (batch or since or expect) or (batch and since):
        raise typer.BadParameter("give --batch or --since, or --expect")
    given = Given(batch, organization, expect, since, until)
    found, missing = _audited(given)
    if found or as_json:
        print(_json(batch, found, missing) if as_json else _lines(found, missing, listed=failed))
    if not found:
        print(_unknown(batch), file=sys.stderr)
    elif not (failed or as_json) and any(it.failed for it in found.values()):
        print(f"to list them: notification-sender audit {given} --failed", file=sys.stderr)
    raise typer.Exit(0 if found and all(it.well for it in found.values()) else PROBLEM_FOUND)


def _audited(given: Given) -> tuple[Mapping[str, "Audit"], Mapping[str, Sequence[str]]]:
    """The audit of each organization, and of a file the ids that are missing."""
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    settings = Settings.load(os.environ)
    if given.expect is not None:
        units = [it for it in _units(given.expect.read()) if _chosen(it, given.batch, given.organization)]
        return asyncio.run(app.audit_expected(settings, units))
    if given.since is not None:
        begin, end = _moment(given.since), _moment(given.until) if given.until else time.time()
        return asyncio.run(app.audit_time(settings, begin, end, given.organization)), {}
    return asyncio.run(app.audit(settings, given.batch or "", given.organization)), {}


def _unknown(batch: str | None) -> str:
    if batch is None:
        return "no work unit is known: none was taken in this time, or its record has expired"
    return f"batch {batch} is unknown: no worker has taken a work unit of it yet"


def _units(source: bytes) -> "list[WorkUnit]":
    """The work units of a file, as ``publish`` reads it."""
    from notification_sender.cli.publish import pieces_of  # noqa: PLC0415 - not paid by --help
    from notification_sender.model.errors import Permanent  # noqa: PLC0415 - as above
    from notification_sender.model.unit import decode  # noqa: PLC0415 - as above

    units = []
    for piece in pieces_of(source):
        try:
            units.append(decode(piece.body))
        except Permanent as fault:
            raise typer.BadParameter(f"{piece.where}: {piece.fault or fault}", param_hint="--expect") from None
    return units


def _chosen(unit: "WorkUnit", batch: str | None, organization: str | None) -> bool:
    of_batch = batch is None or (unit.batch is not None and unit.batch.id == batch)
    return of_batch and organization in {None, unit.organization_id}


def _moment(text: str) -> float:
    """Epoch seconds of an RFC 3339 time, or of a duration before now."""
    from notification_sender.model.durations import duration  # noqa: PLC0415 - not paid by --help
    from notification_sender.model.timestamps import parse_rfc3339  # noqa: PLC0415 - as above

    if moment := parse_rfc3339(text, zoned=True):
        return moment.timestamp()
    try:
        return time.time() - duration(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a time like 2026-03-06T08:00:00Z nor a duration like 2h"
        ) from None


def _lines(found: Mapping[str, "Audit"], missing: Mapping[str, Sequence[str]], *, listed: bool) -> str:
    """The lines for people. If several organizations use the id, each line names its organization."""
    lines: list[str] = []
    for owner, it in found.items():
        lines.append(f"{it}, organization: {owner}" if len(found) > 1 else str(it))
        lines += _ends("notifications", it.notifications)
        if it.units:
            lines += _ends("units without notifications", it.units)
        if listed:
            lines += _failed(it)
        lines += [f"  missing  {id_}" for id_ in missing.get(owner, ())]
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


def _json(batch: str | None, found: Mapping[str, "Audit"], named: Mapping[str, Sequence[str]]) -> str:
    if not found:
        return json.dumps({"batch": batch, "seen": False})
    each = [{"organization_id": owner, **_numbers(it), **_named(named, owner)} for owner, it in found.items()]
    missing = sum(it.missing for it in found.values())
    together = _numbers(reduce(add, found.values())) | {"missing": missing} | _named(named, *named)
    return json.dumps({"batch": batch, "seen": True, **together, "organizations": each})


def _named(missing: Mapping[str, Sequence[str]], *owners: str) -> dict[str, Any]:
    return {"missing_ids": [id_ for owner in owners for id_ in missing.get(owner, ())]} if missing else {}


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
