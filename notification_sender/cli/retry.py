"""Tries what waits now, in place of in five hours."""

import asyncio
import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from notification_sender.cli.changing import By, Yes, confirm, name_of_operator, warn_unannounced
from notification_sender.cli.conventions import optional_identifier
from notification_sender.cli.exit_codes import PROBLEM_FOUND
from notification_sender.cli.progress import reading_ladder

if TYPE_CHECKING:
    from notification_sender.app.commands import RetryResult

Id = Annotated[
    str | None, typer.Argument(metavar="[ID]", callback=optional_identifier, help="A notification or a work unit.")
]
Organization = Annotated[
    str | None, typer.Option(metavar="ID", callback=optional_identifier, help="What is of this organization.")
]
Target = Annotated[
    str | None, typer.Option(metavar="ID", callback=optional_identifier, help="What is for this `destination_id`.")
]
Reason = Annotated[
    str | None, typer.Option(metavar="REASON", help="What waits for this reason: failed, throttled, host_out …")
]


def retry(
    id_: Id = None,
    *,
    organization: Organization = None,
    destination: Target = None,
    reason: Reason = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the messages, and move none.")] = False,
    by: By = None,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Try what waits now, in place of when it is due.

    Limits, pauses, open circuits and a Retry-After hold all the same. Exit code 1 if nothing matched.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    wanted = app.WaitingFilter(id_, organization, destination, reason)
    if wanted == app.WaitingFilter():
        raise typer.BadParameter("write an ID, --organization, --destination or --reason")
    settings = Settings.load(os.environ)
    if not (yes or dry_run):
        with reading_ladder() as step:
            counted = asyncio.run(app.retry(settings, wanted, by="", dry_run=True, step=step))
        if not counted.matched:
            _end(counted, dry_run=True, as_json=as_json)
        confirm(f"Try {counted.matched} of {counted.waiting} waiting messages now?", yes=False)
    with reading_ladder() as step:
        ended = asyncio.run(app.retry(settings, wanted, by=name_of_operator(by), dry_run=dry_run, step=step))
    _end(ended, dry_run=dry_run, as_json=as_json)


def _end(result: "RetryResult", *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print(
            json.dumps(
                {"waiting": result.waiting, "matched": result.matched, "moved": 0 if dry_run else result.matched}
            )
        )
    elif not result.matched:
        print(f"none of {result.waiting} waiting messages matches")
    else:
        print(f"{'to be tried' if dry_run else 'tried'} now: {result.matched} of {result.waiting} waiting messages")
    warn_unannounced(result.unannounced)
    raise typer.Exit(0 if result.matched else PROBLEM_FOUND)
