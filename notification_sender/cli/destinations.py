"""Destinations: lists those with a problem, shows one, and switches one off or on."""

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from notification_sender.cli.changing import (
    By,
    Note,
    Yes,
    ask_on_terminal,
    confirm,
    lasting,
    name_of_operator,
    warn_unannounced,
)
from notification_sender.cli.conventions import identifier, optional_identifier, utc_text
from notification_sender.cli.exit_codes import PROBLEM_FOUND
from notification_sender.cli.pause import pause
from notification_sender.cli.progress import Progress

if TYPE_CHECKING:
    from notification_sender.adapters.redis.operators import Trouble
    from notification_sender.app.commands import DestinationState, Resent, SwitchResult
    from notification_sender.settings import Settings

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
        print(orjson.dumps([it.known() for it in troubles]).decode())
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

    Exit code 1 if it has a problem, something waits for it, or nothing is known of its name.
    """
    import orjson  # noqa: PLC0415 - not paid by --help

    from notification_sender.app import commands as app  # noqa: PLC0415 - as above
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    state = asyncio.run(app.show_destination(Settings.load(os.environ), organization, destination))
    if state.unknown:
        print(state.unknown, file=sys.stderr)
    print(orjson.dumps(state.known()).decode() if as_json else _lines(state))
    raise typer.Exit(PROBLEM_FOUND if state.unknown or state.troubles or state.waiting or state.holding else 0)


def _lines(state: "DestinationState") -> str:
    now = time.time()
    lines = [f"{state.destination_id} of {state.organization_id}"]
    lines += [f"  {it.address or 'any address'}: {_state(it, now)}" for it in state.troubles]
    for it in state.pauses:
        certain = "" if it in state.holding else f", if it is of that channel: {it.subject.rpartition('/')[2]}"
        lines.append(f"  paused until {utc_text(it.until)}, by {it.by} ({it.subject}){certain}")
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
    resend: Annotated[bool, typer.Option("--resend", help="Also send what was withheld while it was off.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be sent, and change nothing.")] = False,
    by: By = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Enable a destination that is off, before its 7 days end.

    With `--resend` each withheld notification is composed anew and sent once. Exit code 1 if it was not off, and
    nothing was withheld.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    settings, name = Settings.load(os.environ), f"{destination} of {organization}"
    if dry_run:
        _end_enable(name, None, _resend(settings, organization, destination, dry_run=True), as_json=as_json)
    (confirm if resend else ask_on_terminal)(f"Enable {name}{' and send what was withheld' * resend}?", yes=yes)
    who = name_of_operator(by)
    ended = asyncio.run(app.enable(settings, organization, destination, by=who))
    warn_unannounced(ended.unannounced)
    resent = _resend(settings, organization, destination, dry_run=False) if resend else None
    if resent is not None and resent.would_send:
        warn_unannounced(
            asyncio.run(app.announce_resent(settings, organization, destination, by=who, count=resent.would_send))
        )
    _end_enable(name, ended, resent, as_json=as_json)


def _resend(settings: "Settings", organization: str, destination: str, *, dry_run: bool) -> "Resent":
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help

    progress = Progress("looked at")
    try:
        return asyncio.run(app.resend(settings, organization, destination, dry_run=dry_run, step=progress.one_more))
    finally:
        progress.end()


def _end_enable(name: str, ended: "SwitchResult | None", resent: "Resent | None", *, as_json: bool) -> NoReturn:
    """``ended``: None of a dry run."""
    import orjson  # noqa: PLC0415 - not paid by --help

    enabled, sent = bool(ended and ended.changed), resent.would_send if resent else 0
    if as_json:
        numbers = {} if resent is None else _numbers(resent)
        print(orjson.dumps({"enabled": enabled} | numbers).decode())
    else:
        lines = [] if ended is None else [f"{name}: " + ("enabled" if enabled else "was not off")]
        print("\n".join(lines + ([] if resent is None else _resent_lines(resent, dry_run=ended is None))))
    raise typer.Exit(0 if enabled or sent else PROBLEM_FOUND)


def _numbers(resent: "Resent") -> dict[str, int]:
    return {
        "matched": resent.matched,
        "would_send": resent.would_send,
        "skipped_delivered": resent.skipped_delivered,
        "skipped_unwanted": resent.skipped_unwanted.total(),
        "not_kept": resent.not_kept,
    }


def _resent_lines(resent: "Resent", *, dry_run: bool) -> list[str]:
    lines = [f"{'to be sent' if dry_run else 'sent'}: {resent.would_send} of {resent.matched} that were withheld"]
    if resent.skipped_delivered:
        lines.append(f"already delivered, not sent again: {resent.skipped_delivered}")
    lines += [f"not sent: {number}, {why}" for why, number in resent.skipped_unwanted.most_common()]
    if resent.not_kept:
        lines.append(f"not kept: {resent.not_kept}; publish their work units again under new ids")
    return lines


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
    """Switch a destination off. Notifications for it are suppressed meanwhile.

    `destinations enable --resend` sends them later. To hold them back instead: `destinations pause`.
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
