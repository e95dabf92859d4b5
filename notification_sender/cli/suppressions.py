"""The suppression list: recipients who want nothing of an organization. Known by a hash, never by their address."""

import asyncio
import json
import os
import sys
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from notification_sender.cli.destinations import identifier
from notification_sender.policy.retry import duration

suppressions = typer.Typer(help="Recipients who want no emails of an organization.", no_args_is_help=True)

Organization = Annotated[str, typer.Option(metavar="ID", callback=identifier, help="Whose notifications they are.")]
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="A mail address; - reads one a line.")]


@suppressions.callback()
def group() -> None:
    """Recipients who want no emails of an organization."""


@suppressions.command()
def add(
    address: Address,
    *,
    organization: Organization,
    lasting: Annotated[str, typer.Option("--for", metavar="DURATION", help="As in 12h or 365d.")] = "365d",
    reason: Annotated[str, typer.Option(metavar="TEXT", help="For whoever lists them.")] = "",
) -> None:
    """Send no email of the organization to this address any more. Adding it again starts the time anew."""
    from notification_sender import app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    recipients, seconds = _recipients(address), _seconds(lasting)
    asyncio.run(app.suppress(Settings.load(os.environ), organization, recipients, seconds=seconds, reason=reason))
    print(f"{organization}: {len(recipients)} suppressed for {lasting}")


@suppressions.command()
def remove(address: Address, *, organization: Organization) -> None:
    """Send emails to this address again; 1 if none was on the list."""
    from notification_sender import app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    recipients = _recipients(address)
    removed = asyncio.run(app.unsuppress(Settings.load(os.environ), organization, recipients))
    print(f"{organization}: {removed} of {len(recipients)} removed")
    raise typer.Exit(0 if removed else 1)


@suppressions.command("list")
def show(
    *,
    organization: Organization,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array, for programs.")] = False,
) -> None:
    """Who is on the list, until when and why."""
    from notification_sender import app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    listed = asyncio.run(app.suppressed(Settings.load(os.environ), organization))
    now = time.time()
    rows = [{"recipient": it.recipient, "until": _moment(now + it.left), "reason": it.reason} for it in listed]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['recipient']}  {row['until']}  {row['reason']}".rstrip())


def _recipients(address: str) -> list[str]:
    """The hash of each. No fault repeats an address: what is on a screen is soon in a log."""
    from notification_sender.channels.email import is_address  # noqa: PLC0415 - not paid by --help
    from notification_sender.model.destination import recipient_hash  # noqa: PLC0415 - as above

    text = sys.stdin.buffer.read().decode(errors="replace") if address == "-" else address
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    faulty = [str(number) for number, line in lines if not is_address(line)]
    if faulty or not lines:
        where = f" (line {', '.join(faulty[:10])})" if address == "-" and faulty else ""
        raise typer.BadParameter(f"not a mail address, like user@example.com{where}: nothing was done")
    return list(dict.fromkeys(recipient_hash(line) for _, line in lines))


def _seconds(text: str) -> float:
    try:
        seconds = duration(text)
    except ValueError as fault:
        raise typer.BadParameter(f"--for: {fault}") from None
    if not seconds:
        raise typer.BadParameter("--for: more than nothing")
    return seconds


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
