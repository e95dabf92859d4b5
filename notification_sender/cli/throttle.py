"""The rates of an organization: shows what is left of them, sets another one for a while, and resets it."""

import asyncio
import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notification_sender.cli.changing import By, Note, Yes, confirm, lasting, name_of_operator, warn_unannounced
from notification_sender.cli.conventions import identifier, optional_identifier, utc_text
from notification_sender.cli.exit_codes import PROBLEM_FOUND
from notification_sender.cli.progress import reading_ladder

if TYPE_CHECKING:
    from notification_sender.app.commands import Throttle, ThrottleResult

throttle = typer.Typer(help="Show and change the rate of an organization and channel.", no_args_is_help=True)

Organization = Annotated[str, typer.Argument(metavar="ORGANIZATION", callback=identifier)]
Channel = Annotated[str, typer.Argument(metavar="CHANNEL", callback=identifier)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@throttle.callback()
def group() -> None:
    """Show and change the rate of an organization and channel."""


@throttle.command()
def show(
    organization: Organization,
    channel: Annotated[str | None, typer.Argument(metavar="[CHANNEL]", callback=optional_identifier)] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show the rates in force, and what is left of each."""
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    settings = Settings.load(os.environ)
    try:
        found = asyncio.run(app.throttles(settings, organization, channel))
    except ValueError as fault:
        raise typer.BadParameter(str(fault), param_hint="CHANNEL") from None
    print(json.dumps([record(it) for it in found]) if as_json else "\n".join(map(line, found)))


@throttle.command("set")
def set_(
    organization: Organization,
    channel: Channel,
    rate: Annotated[str, typer.Argument(metavar="RATE", help="Such as '300/minute burst 30', or off.")],
    *,
    lasting_for: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="For how long, such as 2h; at most 30d.")
    ],
    note: Note = None,
    by: By = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Use another rate for a while.

    It begins with a full burst. What waits for its turn at the rate before asks anew at once.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.policy.limits import Limit  # noqa: PLC0415 - as above
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    seconds = lasting(lasting_for)
    try:
        Limit.parse(channel, rate)
        app.channels(channel)
    except ValueError as fault:
        raise typer.BadParameter(str(fault)) from None
    settings = Settings.load(os.environ)
    confirm(f"Use {rate} for {channel} of {organization} for {lasting_for}?", yes=yes)
    who = name_of_operator(by)
    with reading_ladder() as step:
        changing = app.set_throttle(
            settings, organization, channel, rate, seconds=seconds, by=who, note=note or "", step=step
        )
        made = asyncio.run(changing)
    _print(made, as_json=as_json)


@throttle.command()
def reset(
    organization: Organization, channel: Channel, *, by: By = None, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Use the rate of the settings again.

    Exit code 1 if no other rate was set.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    try:
        app.channels(channel)
    except ValueError as fault:
        raise typer.BadParameter(str(fault), param_hint="CHANNEL") from None
    settings = Settings.load(os.environ)
    confirm(f"Use the rate of the settings for {channel} of {organization}?", yes=yes)
    who = name_of_operator(by)
    with reading_ladder() as step:
        ended = asyncio.run(app.reset_throttle(settings, organization, channel, by=who, step=step))
    _print(ended, as_json=as_json)
    raise typer.Exit(0 if ended.changed else PROBLEM_FOUND)


def line(throttle: "Throttle") -> str:
    """One limit for people."""
    name = f"{throttle.organization_id}  {throttle.channel}  {throttle.rate}"
    if it := throttle.override:
        note = f", {it.note}" if it.note else ""
        name += f" (until {utc_text(it.until)}, by {it.by}{note}; then {throttle.configured})"
    left = throttle.standing
    if left is None:
        return name
    when = "now" if not left.delay else f"in {left.delay / 1_000_000:.1f} s"
    waiting = f", {left.booked} slots booked" if left.booked else ""
    return f"{name}  tokens: {left.tokens}, next: {when}{waiting}"


def record(throttle: "Throttle") -> dict[str, Any]:
    """One limit as JSON."""
    it, left = throttle.override, throttle.standing
    override = it and {"rate": it.value, "until": utc_text(it.until), "by": it.by, "note": it.note}
    return {
        "organization_id": throttle.organization_id,
        "channel": throttle.channel,
        "rate": throttle.rate,
        "configured": throttle.configured,
        "override": override,
        "tokens": None if left is None else left.tokens,
        "next_in_s": None if left is None else left.delay / 1_000_000,
        "booked": None if left is None else left.booked,
    }


def _print(result: "ThrottleResult", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(record(result.throttle) | {"changed": result.changed, "moved": result.moved}))
    elif result.changed:
        print(f"{line(result.throttle)}\nmoved to their queues: {result.moved}")
    else:
        print(f"no other rate was set\n{line(result.throttle)}")
    warn_unannounced(result.unannounced)
