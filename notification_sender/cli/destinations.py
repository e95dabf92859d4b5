"""Destinations that were switched off because their recipients said 410."""

import asyncio
import os
import re
from typing import Annotated

import typer

destinations = typer.Typer(help="Destinations that said they are gone.", no_args_is_help=True)

_IDENTIFIER = re.compile(r"[A-Za-z0-9_:-]{1,128}")


def identifier(text: str) -> str:
    """Anything else is the id of nothing, and would be a pattern to the store."""
    if not _IDENTIFIER.fullmatch(text):
        raise typer.BadParameter("1 to 128 of A-Z a-z 0-9 _ : -")
    return text


@destinations.callback()
def group() -> None:
    """Destinations that said they are gone."""


@destinations.command()
def enable(
    *,
    organization: Annotated[str, typer.Option(metavar="ID", callback=identifier, help="Whose destination it is.")],
    destination: Annotated[str, typer.Option(metavar="ID", callback=identifier, help="Its `destination_id`.")],
) -> None:
    """Send to a destination again that answered 410, before its seven days are over; 1 if it was not off."""
    from notification_sender import app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    addresses = asyncio.run(app.enable(Settings.load(os.environ), organization, destination))
    print(f"{destination} of {organization}: " + ("on again" if addresses else "was not off"))
    raise typer.Exit(0 if addresses else 1)
