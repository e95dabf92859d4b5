"""The suppression list: recipients who want no emails of an organization. They are stored by hash, not by address."""

import asyncio
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from notification_sender.cli.changing import By, Yes, ask_on_terminal, name_of_operator, warn_unannounced
from notification_sender.cli.conventions import identifier, utc_text
from notification_sender.cli.exit_codes import PROBLEM_FOUND
from notification_sender.model.durations import duration

if TYPE_CHECKING:
    from notification_sender.settings import Settings

suppressions = typer.Typer(help="Suppress emails of an organization to recipients.", no_args_is_help=True)

Organization = Annotated[
    str, typer.Option(metavar="ID", callback=identifier, help="The organization that sends the emails.")
]
STANDARD_INPUT = "-"
"""In place of an address. A command that reads it cannot ask as well."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Address = Annotated[str, typer.Argument(metavar="ADDRESS", hidden=True)]


@suppressions.callback()
def group() -> None:
    """Suppress emails of an organization to recipients."""


@suppressions.command()
def add(
    address: Address,
    *,
    organization: Organization,
    lasting: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="For how long, such as 12h or 365d.")
    ] = "365d",
    reason: Annotated[str, typer.Option(metavar="TEXT", help="A note that `list` shows.")] = "",
    by: By = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send no email of the organization to this address.

    With - as ADDRESS the command reads one address a line. Adding an address again restarts its time.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    recipients, seconds = recipients_of(address), _seconds(lasting)
    settings = Settings.load(os.environ)
    question = f"Send no email of {organization} to {len(recipients)} recipients for {lasting}?"
    ask_on_terminal(question, yes=yes or address == STANDARD_INPUT)
    asyncio.run(app.suppress(settings, organization, recipients, seconds=seconds, reason=reason))
    done = {"organization_id": organization, "suppressed": len(recipients), "until": utc_text(time.time() + seconds)}
    print(json.dumps(done) if as_json else f"{organization}: {len(recipients)} suppressed for {lasting}")
    _announce(settings, "suppressed", organization, len(recipients), until=time.time() + seconds, by=by)


@suppressions.command()
def remove(
    address: Address, *, organization: Organization, by: By = None, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Send emails to this address again.

    With - as ADDRESS the command reads one address a line. Exit code 1 if none was on the list.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    recipients = recipients_of(address)
    settings = Settings.load(os.environ)
    question = f"Send emails of {organization} to {len(recipients)} recipients again?"
    ask_on_terminal(question, yes=yes or address == STANDARD_INPUT)
    removed = asyncio.run(app.unsuppress(settings, organization, recipients))
    done = {"organization_id": organization, "removed": removed, "of": len(recipients)}
    print(json.dumps(done) if as_json else f"{organization}: {removed} of {len(recipients)} removed")
    if removed:
        _announce(settings, "unsuppressed", organization, removed, until=None, by=by)
    raise typer.Exit(0 if removed else PROBLEM_FOUND)


@suppressions.command("list")
def show(
    *,
    organization: Organization,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List the suppressed recipients, with end and reason."""
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    listed = asyncio.run(app.suppressed(Settings.load(os.environ), organization))
    now = time.time()
    rows = [{"recipient": it.recipient, "until": utc_text(now + it.left), "reason": it.reason} for it in listed]
    if as_json:
        print(json.dumps(rows))
        return
    if not rows:
        print("the list is empty")
    for row in rows:
        print(f"{row['recipient']}  {row['until']}  {row['reason']}".rstrip())


def _announce(
    settings: "Settings", change: str, organization: str, count: int, *, until: float | None, by: str | None
) -> None:
    """Without the addresses, and without the note: it may name a person."""
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help

    made = app.Change(
        change=change,
        by=name_of_operator(by),
        subject=f"organization/{organization}",
        until=until,
        organization_id=organization,
        channel="email",
        count=count,
    )
    warn_unannounced(asyncio.run(app.announce(settings, made)))


def recipients_of(address: str) -> list[str]:
    """The hash of each address. No error repeats an address: terminal output often ends in logs."""
    from notification_sender.channels.email import is_address  # noqa: PLC0415 - not paid by --help
    from notification_sender.model.destination import recipient_hash  # noqa: PLC0415 - as above

    text = sys.stdin.buffer.read().decode(errors="replace") if address == "-" else address
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    faulty = [str(number) for number, line in lines if not is_address(line)]
    if faulty or not lines:
        where = f" (line {', '.join(faulty[:10])})" if address == "-" and faulty else ""
        raise typer.BadParameter(f"not a mail address like user@example.com{where}; nothing was changed")
    return list(dict.fromkeys(recipient_hash(line) for _, line in lines))


def _seconds(text: str) -> float:
    try:
        seconds = duration(text)
    except ValueError as fault:
        raise typer.BadParameter(f"--for: {fault}") from None
    if not seconds:
        raise typer.BadParameter("--for must be longer than 0s")
    return seconds
