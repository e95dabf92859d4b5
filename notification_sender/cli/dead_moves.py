"""Dead letters: replays those that can be delivered now, and drops those that nobody wants."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notification_sender.cli.changing import By, Note, Yes, confirm, name_of_operator, warn_unannounced
from notification_sender.cli.dead import AsJson, Id, Organization, Reason, Target
from notification_sender.cli.exit_codes import PROBLEM_FOUND
from notification_sender.cli.progress import Progress
from notification_sender.model.errors import NotificationSenderError
from notification_sender.policy.limits import Limit

if TYPE_CHECKING:
    from notification_sender.app.commands import LetterFilter, LetterGroup, ReplayResult
    from notification_sender.settings import Settings

AGAIN = "run the command again: nothing is sent twice"


def _rate(text: str | None) -> str | None:
    try:
        given = text is None or Limit.parse("rate", text)
    except ValueError as fault:
        raise typer.BadParameter(str(fault)) from None
    if not given:
        raise typer.BadParameter("leave the option away for no limit")
    return text


def replay(
    *,
    reason: Reason = None,
    organization: Organization = None,
    destination: Target = None,
    id_: Id = None,
    rate: Annotated[
        str | None, typer.Option(metavar="RATE", callback=_rate, help="Move so many at most, such as 600/minute.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the letters, and move none.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. A script is never asked.")] = False,
    by: By = None,
    note: Note = None,
    as_json: AsJson = False,
) -> None:
    """Move dead letters back to their queues.

    A notification keeps its id, and is not sent again if it was delivered. A letter stays if its destination is off.
    Exit code 1 if no letter matched, or one had to stay.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    settings, wanted = Settings.load(os.environ), app.LetterFilter(reason, organization, destination, id_)
    # On a terminal first the count, then the question. A replay does no harm, so a script needs no option.
    asked = sys.stdin.isatty() and not yes and not dry_run
    counted = _replay(settings, wanted, dry_run=dry_run or asked, rate=rate)
    if asked and counted.would_send + counted.skipped_delivered:
        print(_text(counted, dry_run=True), file=sys.stderr)
        confirm(f"Move {counted.would_send} of {counted.matched} back?", yes=False)
        counted = _replay(settings, wanted, dry_run=False, rate=rate)
    print(json.dumps(_numbers(counted)) if as_json else _text(counted, dry_run=dry_run))
    if counted.would_send and not dry_run:
        _announce(settings, "replayed", wanted, counted.would_send, by, note)
    raise typer.Exit(0 if counted.matched and not counted.skipped_unwanted else PROBLEM_FOUND)


def drop(
    *,
    reason: Reason = None,
    organization: Organization = None,
    destination: Target = None,
    id_: Id = None,
    everything: Annotated[bool, typer.Option("--all", help="Without another option: all dead letters.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the letters, and drop none.")] = False,
    yes: Yes = False,
    by: By = None,
    note: Note = None,
    as_json: AsJson = False,
) -> None:
    """Remove dead letters for good: they will not be delivered.

    Exit code 1 if no letter matched.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    wanted = app.LetterFilter(reason, organization, destination, id_)
    if wanted == app.LetterFilter() and not everything:
        raise typer.BadParameter("say which: --reason, --organization, --destination or --id, or --all")
    settings = Settings.load(os.environ)
    groups = asyncio.run(app.list_dead(settings, wanted))
    counted = app.ReplayResult(matched=sum(it.count for it in groups))
    if groups and not dry_run:
        confirm(f"Drop {counted.matched} for good ({_named(groups)})?", yes=yes)
        most, counted = counted.matched, app.ReplayResult()
        _watched("looked at", counted, lambda step: app.drop(settings, wanted, counted, most=most, step=step))
    print(
        json.dumps({"matched": counted.matched, "dropped": counted.dropped}) if as_json else _dropped(counted, dry_run)
    )
    if counted.dropped:
        _announce(settings, "dropped", wanted, counted.dropped, by, note)
    raise typer.Exit(0 if counted.matched else PROBLEM_FOUND)


def _replay(settings: "Settings", wanted: "LetterFilter", *, dry_run: bool, rate: str | None) -> "ReplayResult":
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help

    counted, pace = app.ReplayResult(), None if rate is None else Limit.parse("rate", rate)
    _watched(
        "looked at",
        counted,
        lambda step: app.replay(settings, wanted, counted, dry_run=dry_run, rate=pace, step=step),
    )
    return counted


def _watched(
    verb: str, counted: "ReplayResult", work: Callable[[Callable[[], None]], Coroutine[Any, Any, None]]
) -> None:
    """Run ``work`` with a bar. Where it is cut off, say how far it came."""
    progress = Progress(verb)

    def step() -> None:
        progress.total = counted.in_queue
        progress.one_more()

    try:
        asyncio.run(work(step))
    except (KeyboardInterrupt, NotificationSenderError) as fault:
        progress.end()
        if not counted.looked_at:
            raise
        why = "stopped" if isinstance(fault, KeyboardInterrupt) else str(fault)
        print(f"{why}, after {counted.looked_at} of {counted.in_queue} letters; {AGAIN}", file=sys.stderr)
        print(_text(counted, dry_run=False) if not counted.dropped else _dropped(counted, dry_run=False))
        raise typer.Exit(PROBLEM_FOUND) from None
    progress.end()


def _announce(  # noqa: PLR0917 - the parts of the event
    settings: "Settings", change: str, wanted: "LetterFilter", number: int, by: str | None, note: str | None
) -> None:
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help

    event = app.Change(
        change=change,
        by=name_of_operator(by),
        subject=f"dead-letters/{wanted.id}" if wanted.id else "dead-letters",
        organization_id=wanted.organization_id,
        destination_id=wanted.destination_id,
        reason=wanted.reason,
        note=note,
        count=number,
    )
    warn_unannounced(asyncio.run(app.announce(settings, event)))


def _numbers(counted: "ReplayResult") -> dict[str, Any]:
    return {
        "matched": counted.matched,
        "would_send": counted.would_send,
        "skipped_delivered": counted.skipped_delivered,
        "skipped_unwanted": counted.skipped_unwanted.total(),
    }


def _text(counted: "ReplayResult", *, dry_run: bool) -> str:
    if not counted.matched:
        return "no dead letter matches"
    lines = [f"{'to be moved' if dry_run else 'moved'} back: {counted.would_send} of {counted.matched}"]
    if counted.skipped_delivered:
        lines.append(f"already delivered, not sent again: {counted.skipped_delivered}")
    if counted.delivered:
        each = ", ".join(f"{number} by {channel}" for channel, number in counted.delivered.most_common())
        lines.append(f"notifications delivered before: {each}")
    lines += [f"stays: {number}, {why}" for why, number in counted.skipped_unwanted.most_common()]
    return "\n".join(lines)


def _dropped(counted: "ReplayResult", dry_run: bool) -> str:  # noqa: FBT001 - one thing to say
    if not counted.matched:
        return "no dead letter matches"
    return f"to be dropped: {counted.matched}" if dry_run else f"dropped: {counted.dropped} of {counted.matched}"


def _named(groups: Sequence["LetterGroup"]) -> str:
    """The largest three groups."""
    named = [f"{it.count} {it.reason or '-'} {it.destination_id or 'work unit'}" for it in groups[:3]]
    return ", ".join(named) + (", …" if len(groups) > len(named) else "")
