"""Destinations: lists those with a problem, shows one, and switches one off or on."""

import asyncio
import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from notification_sender.cli.changing import By, Note, Yes, confirm, lasting, name_of_operator, warn_unannounced
from notification_sender.cli.conventions import identifier, optional_identifier, utc_text
from notification_sender.cli.exit_codes import PROBLEM_FOUND
from notification_sender.cli.pause import pause

if TYPE_CHECKING:
    from notification_sender.adapters.redis.operators import Trouble
    from notification_sender.app.commands import DestinationState

destinations = typer.Typer(help="List and show destinations, and switch them off and on.", no_args_is_help=True)

Organization = Annotated[str, typer.Argument(metavar="ORGANIZATION", callback=identifier)]
Destination = Annotated[str, typer.Argument(metavar="DESTINATION", callback=identifier)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@destinations.callback()
def group() -> None:
    """List and show destinations, and switch them off and on."""


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
def show(organization: Organization, destination: Destination, *, as_json: AsJson = False) -> None:
    """Show one destination, and what waits for it.

    Exit code 1 if it has a problem, or something waits for it.
    """
    import orjson  # noqa: PLC0415 - not paid by --help

    from notification_sender.app import commands as app  # noqa: PLC0415 - as above
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    state = asyncio.run(app.show_destination(Settings.load(os.environ), organization, destination))
    print(orjson.dumps(asdict(state)).decode() if as_json else _lines(state))
    raise typer.Exit(PROBLEM_FOUND if state.troubles or state.waiting or state.pauses else 0)


def _lines(state: "DestinationState") -> str:
    now = time.time()
    lines = [f"{state.destination_id} of {state.organization_id}"]
    lines += [f"  {it.address or 'any address'}: {_state(it, now)}" for it in state.troubles]
    lines += [f"  paused until {utc_text(it.until)}, by {it.by} ({it.subject})" for it in state.pauses]
    lines += [f"  waiting, {reason}: {number}" for reason, number in sorted(state.waiting.items())]
    if state.last_error_at:
        lines.append(f"  last error at {utc_text(state.last_error_at)}: {state.last_error}")
    return "\n".join(lines if len(lines) > 1 else [f"{lines[0]}: no problem is known, and nothing waits"])


@destinations.command()
def enable(
    *,
    organization: Annotated[
        str, typer.Option(metavar="ID", callback=identifier, help="The organization of the destination.")
    ],
    destination: Annotated[str, typer.Option(metavar="ID", callback=identifier, help="The `destination_id`.")],
    by: By = None,
) -> None:
    """Enable a destination that is off, before its 7 days end.

    Exit code 1 if it was not off.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    who = name_of_operator(by)
    ended = asyncio.run(app.enable(Settings.load(os.environ), organization, destination, by=who))
    print(f"{destination} of {organization}: " + ("enabled" if ended.changed else "was not off"))
    warn_unannounced(ended.unannounced)
    raise typer.Exit(0 if ended.changed else PROBLEM_FOUND)


@destinations.command()
def disable(
    organization: Organization,
    destination: Destination,
    *,
    lasting_for: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="For how long, such as 12h; at most 30d.")
    ] = "7d",
    note: Note = None,
    by: By = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Switch a destination off. Notifications for it are suppressed meanwhile, and are not sent later.

    To send it later: `destinations pause`.
    """
    import orjson  # noqa: PLC0415 - not paid by --help

    from notification_sender.app import commands as app  # noqa: PLC0415 - as above
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    seconds, settings = lasting(lasting_for), Settings.load(os.environ)
    confirm(f"Suppress all that is for {destination} of {organization} for {lasting_for}?", yes=yes)
    who = name_of_operator(by)
    made = asyncio.run(app.disable(settings, organization, destination, seconds=seconds, by=who, note=note or ""))
    until = utc_text(made.until)
    if as_json:
        print(orjson.dumps({"organization_id": organization, "destination_id": destination, "until": until}).decode())
    else:
        print(f"{destination} of {organization}: off until {until}")
    warn_unannounced(made.unannounced)


@destinations.command("pause")
def pause_(
    organization: Organization,
    destination: Destination,
    *,
    lasting_for: Annotated[str, typer.Option("--for", metavar="DURATION", help="For how long, such as 1h.")],
    note: Note = None,
    by: By = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send nothing to a destination for a while. As `pause --organization --destination`."""
    pause(
        organization=organization,
        destination=destination,
        lasting_for=lasting_for,
        note=note,
        by=by,
        yes=yes,
        as_json=as_json,
    )
