"""The shared cache: shows its use, and purges an organization's facts."""

import asyncio
import json
import os
from dataclasses import asdict
from typing import Annotated

import typer

from notification_sender.cli.changing import By, Note, Yes, confirm, name_of_operator, warn_unannounced
from notification_sender.cli.conventions import identifier, optional_identifier
from notification_sender.cli.exit_codes import PROBLEM_FOUND

cache = typer.Typer(help="Show the shared cache, purge an organization from it.", no_args_is_help=True)

KIB = 1024


@cache.callback()
def group() -> None:
    """Show the shared cache, purge an organization from it."""


@cache.command()
def stats(
    *,
    organization: Annotated[
        str | None, typer.Option(metavar="ID", callback=optional_identifier, help="Only the facts of this one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Count the cached facts by kind, the largest first."""
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    uses = asyncio.run(app.cache_use(Settings.load(os.environ), organization))
    if as_json:
        print(json.dumps([asdict(it) for it in uses]))
        return
    width = max((len(it.kind) for it in uses), default=0)
    for it in uses:
        fetching = f", {it.fetching:,} being fetched" if it.fetching else ""
        print(f"{it.kind:<{width}}  {it.facts:>9,} facts  {it.bytes / KIB:>11,.1f} KiB  {it.fresh:,} fresh{fetching}")
    if not uses:
        print("the cache is empty")


@cache.command()
def purge(
    organization: Annotated[str, typer.Argument(metavar="ORG", callback=identifier, hidden=True)],
    *,
    yes: Yes = False,
    by: By = None,
    note: Note = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Delete the cached facts of an organization.

    The next unit fetches them anew.

    Processes use what they hold themselves for 5 s more. Exit code 1 if nothing was cached.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    settings = Settings.load(os.environ)
    confirm(f"Purge the cached facts of {organization}?", yes=yes)
    number = asyncio.run(app.purge(settings, organization))
    print(json.dumps({"organization_id": organization, "purged": number}) if as_json else f"purged: {number} facts")
    if number:
        subject = f"cache/{organization}"
        change = app.Change(
            change="purged",
            by=name_of_operator(by),
            subject=subject,
            organization_id=organization,
            note=note,
            count=number,
        )
        warn_unannounced(asyncio.run(app.announce(settings, change)))
    raise typer.Exit(0 if number else PROBLEM_FOUND)
