"""Destinations that are off, failing or waiting: lists them, and enables those that are off."""

import asyncio
import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from notification_sender.cli.conventions import identifier, optional_identifier, utc_text
from notification_sender.cli.exit_codes import PROBLEM_FOUND

if TYPE_CHECKING:
    from notification_sender.adapters.redis.operators import Trouble

destinations = typer.Typer(help="List destinations with a problem, and enable them.", no_args_is_help=True)


@destinations.callback()
def group() -> None:
    """List destinations with a problem, and enable them."""


@destinations.command(name="list")
def list_(
    *,
    organization: Annotated[
        str | None, typer.Option(metavar="ID", callback=optional_identifier, help="Only of this organization.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List destinations that are off, failing, held or waiting.

    A held destination asked us to wait; a waiting one needs a file, such as a secret.
    """
    import orjson  # noqa: PLC0415 - not paid by --help

    from notification_sender.app import commands as app  # noqa: PLC0415 - as above
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    troubles = asyncio.run(app.troubled(Settings.load(os.environ), organization))
    if json:
        print(orjson.dumps([asdict(it) for it in troubles]).decode())
        return
    for it in troubles:
        place = f" ({it.address})" if it.address else ""
        print(f"{it.organization_id}  {it.destination_id}{place}  {_state(it, time.time())}")
    if not troubles:
        print("no destination has a problem")


def _state(trouble: "Trouble", now: float) -> str:
    words = []
    if trouble.until > now:
        words.append(f"off until {utc_text(trouble.until)}: {trouble.off}")
    elif trouble.off:
        words.append(f"on again, was off: {trouble.off}")
    if trouble.failing_since:
        words.append(f"nothing accepted since {utc_text(trouble.failing_since)}")
    if trouble.hold_until > now:
        words.append(f"asked us to wait until {utc_text(trouble.hold_until)}")
    if trouble.waits_for:
        words.append(f"waits: {trouble.waits_for}")
    return ", ".join(words) or "no problem any more"


@destinations.command()
def enable(
    *,
    organization: Annotated[
        str, typer.Option(metavar="ID", callback=identifier, help="The organization of the destination.")
    ],
    destination: Annotated[str, typer.Option(metavar="ID", callback=identifier, help="The `destination_id`.")],
) -> None:
    """Enable a destination that is off, before its 7 days end.

    Exit code 1 if it was not off.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    addresses = asyncio.run(app.enable(Settings.load(os.environ), organization, destination))
    print(f"{destination} of {organization}: " + ("enabled" if addresses else "was not off"))
    raise typer.Exit(0 if addresses else PROBLEM_FOUND)
