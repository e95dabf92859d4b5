"""Dead letters: lists them with their reasons, and replays those that can be delivered now."""

import asyncio
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notification_sender.cli.conventions import optional_identifier, utc_text
from notification_sender.cli.exit_codes import PROBLEM_FOUND

if TYPE_CHECKING:
    from notification_sender.app.commands import LetterGroup, ReplayResult

dead = typer.Typer(help="List and replay dead letters.", no_args_is_help=True)

Reason = Annotated[str | None, typer.Option(metavar="REASON", help="Only letters with this reason, as in `dead list`.")]
Organization = Annotated[
    str | None, typer.Option(metavar="ID", callback=optional_identifier, help="Only letters of this organization.")
]
Target = Annotated[
    str | None, typer.Option(metavar="ID", callback=optional_identifier, help="Only letters for this `destination_id`.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dead.callback()
def group() -> None:
    """List and replay dead letters."""


@dead.command(name="list")
def list_(
    *, reason: Reason = None, organization: Organization = None, destination: Target = None, as_json: AsJson = False
) -> None:
    """Count dead letters by reason and destination.

    Each line shows the detail of the oldest letter. Nothing is changed.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    groups = asyncio.run(app.list_dead(Settings.load(os.environ), app.LetterFilter(reason, organization, destination)))
    if as_json:
        print(json.dumps([asdict(it) | {"oldest": utc_text(it.oldest)} for it in groups]))
    else:
        print("\n".join(map(_group, groups)) or "there are no dead letters")


def _group(group: "LetterGroup") -> str:
    owner = f"{group.organization_id or '-'}  {group.destination_id or 'work unit'}"
    return f"{group.count}  {group.reason or '-'}  {owner}  since {utc_text(group.oldest)}: {group.detail}"


@dead.command()
def replay(
    *,
    reason: Reason = None,
    organization: Organization = None,
    destination: Target = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the letters, and move none.")] = False,
    as_json: AsJson = False,
) -> None:
    """Move dead letters back to their queues.

    A notification keeps its id, and is not sent again if it was delivered. A letter stays if its destination is off.
    Exit code 1 if no letter matched, or one had to stay.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    wanted = app.LetterFilter(reason, organization, destination)
    counted = asyncio.run(app.replay(Settings.load(os.environ), wanted, dry_run=dry_run))
    print(json.dumps(_numbers(counted)) if as_json else _text(counted, dry_run=dry_run))
    raise typer.Exit(0 if counted.matched and not counted.skipped_unwanted else PROBLEM_FOUND)


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
    lines += [f"stays: {number}, {why}" for why, number in counted.skipped_unwanted.most_common()]
    return "\n".join(lines)
