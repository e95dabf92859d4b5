"""Destinations that were switched off, because their recipients said 410 or accepted nothing for days."""

import asyncio
import os
import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from notification_sender.adapters.redis_destinations import Trouble

destinations = typer.Typer(help="Destinations with which something is wrong.", no_args_is_help=True)

_IDENTIFIER = re.compile(r"[A-Za-z0-9_:-]{1,128}")


def identifier(text: str) -> str:
    """Anything else is the id of nothing, and would be a pattern to the store."""
    if not _IDENTIFIER.fullmatch(text):
        raise typer.BadParameter("1 to 128 of A-Z a-z 0-9 _ : -")
    return text


def _some(text: str | None) -> str | None:
    return text and identifier(text)


@destinations.callback()
def group() -> None:
    """Destinations with which something is wrong."""


@destinations.command(name="list")
def list_(
    *,
    organization: Annotated[
        str | None, typer.Option(metavar="ID", callback=_some, help="Of this organization alone.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
) -> None:
    """Destinations that are off, accept nothing, or asked us to wait: since when, and until when."""
    import orjson  # noqa: PLC0415 - not paid by --help

    from notification_sender import app  # noqa: PLC0415 - as above
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    troubles = asyncio.run(app.troubled(Settings.load(os.environ), organization))
    if json:
        print(orjson.dumps([asdict(it) for it in troubles]).decode())
        return
    for it in troubles:
        print(f"{it.organization_id}  {it.destination_id} ({it.address})  {_said(it, datetime.now(UTC).timestamp())}")
    if not troubles:
        print("nothing is wrong with any destination")


def _said(trouble: "Trouble", now: float) -> str:
    words = []
    if trouble.until > now:
        words.append(f"off until {_moment(trouble.until)}: {trouble.off}")
    elif trouble.off:
        words.append(f"on again, was off: {trouble.off}")
    if trouble.failing_since:
        words.append(f"nothing accepted since {_moment(trouble.failing_since)}")
    if trouble.hold_until > now:
        words.append(f"asked us to wait until {_moment(trouble.hold_until)}")
    return ", ".join(words) or "well again"


def _moment(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@destinations.command()
def enable(
    *,
    organization: Annotated[str, typer.Option(metavar="ID", callback=identifier, help="Whose destination it is.")],
    destination: Annotated[str, typer.Option(metavar="ID", callback=identifier, help="Its `destination_id`.")],
) -> None:
    """Send to a destination again before its seven days are over; 1 if it was not off."""
    from notification_sender import app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    addresses = asyncio.run(app.enable(Settings.load(os.environ), organization, destination))
    print(f"{destination} of {organization}: " + ("on again" if addresses else "was not off"))
    raise typer.Exit(0 if addresses else 1)
