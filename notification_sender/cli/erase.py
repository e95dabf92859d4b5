"""Erases what is kept of an organization, or of one of its recipients."""

import asyncio
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from notification_sender.cli.changing import By, Note, Yes, confirm, name_of_operator, warn_unannounced
from notification_sender.cli.conventions import identifier
from notification_sender.cli.exit_codes import PROBLEM_FOUND
from notification_sender.cli.suppressions import recipients_of

if TYPE_CHECKING:
    from notification_sender.app.commands import Erased

AGAIN = "What was delivered may be sent again, if its work unit comes again."
STAYS = "stays: the suppression list, and what waits in the queues"


def erase(
    *,
    organization: Annotated[str, typer.Option(metavar="ID", callback=identifier, help="The organization.")],
    recipient: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Only this mail address; - reads it from standard input.")
    ] = None,
    yes: Yes = False,
    by: By = None,
    note: Note = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Erase what is kept of an organization or a recipient.

    The suppression list stays, so that nobody gets emails again who wanted none. Exit code 1 if there was nothing.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    settings = Settings.load(os.environ)
    hashes = [] if recipient is None else recipients_of(recipient)
    if len(hashes) > 1:
        raise typer.BadParameter("give one address", param_hint="--recipient")
    hash_ = hashes[0] if hashes else None
    owner = f"one recipient of {organization}" if hash_ else f"{organization}? {AGAIN}"
    confirm(f"Erase all records and dead letters of {owner}", yes=yes)
    erased = asyncio.run(app.erase(settings, organization, hash_))
    number = sum(erased.records.values()) + erased.dead_letters
    print(json.dumps(asdict(erased)) if as_json else _text(erased))
    if number:
        # An event never has an address, nor its hash.
        subject = f"recipient/{organization}" if hash_ else f"organization/{organization}"
        who = name_of_operator(by)
        change = app.Change(
            change="erased", by=who, subject=subject, organization_id=organization, note=note, count=number
        )
        warn_unannounced(asyncio.run(app.announce(settings, change)))
    raise typer.Exit(0 if number else PROBLEM_FOUND)


def _text(erased: "Erased") -> str:
    parts = [f"{number} {kind}" for kind, number in sorted(erased.records.items()) if number]
    if erased.dead_letters:
        parts.append(f"{erased.dead_letters} dead letters")
    return f"erased: {', '.join(parts) or 'nothing'}\n{STAYS}"
