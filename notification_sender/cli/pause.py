"""Pauses an organization, a destination, a channel or everything, and resumes it. Every pause has an end."""

import asyncio
import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from notification_sender.cli.changing import (
    By,
    Note,
    Yes,
    confirm,
    lasting,
    name_of_operator,
    warn_unannounced,
)
from notification_sender.cli.conventions import optional_identifier, utc_text
from notification_sender.cli.exit_codes import PROBLEM_FOUND
from notification_sender.cli.progress import reading_ladder
from notification_sender.model.override import PauseScope

if TYPE_CHECKING:
    from notification_sender.model.override import Override

Organization = Annotated[str | None, typer.Option(metavar="ID", callback=optional_identifier, help="The organization.")]
Destination = Annotated[
    str | None, typer.Option(metavar="ID", callback=optional_identifier, help="One destination of the organization.")
]
Channel = Annotated[
    str | None, typer.Option(metavar="NAME", callback=optional_identifier, help="webhook or email; alone: of all.")
]
Everything = Annotated[bool, typer.Option("--all", help="Everything, of all organizations.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def pause(
    *,
    organization: Organization = None,
    destination: Destination = None,
    channel: Channel = None,
    everything: Everything = False,
    lasting_for: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="For how long, such as 30m or 12h; at most 30d.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List what is paused, and change nothing.")] = False,
    note: Note = None,
    by: By = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Hold back an organization, destination, channel or all.

    What waits uses no attempt, does not age, and holds up nothing else. It is sent after the end, or after `resume`.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    if listed:
        _list(asyncio.run(app.paused(Settings.load(os.environ))), as_json=as_json)
        return
    scope = _scope(organization, destination, channel, everything=everything)
    _check_channel(channel)
    if lasting_for is None:
        raise typer.BadParameter("say for how long, such as --for 1h: a pause always has an end", param_hint="--for")
    seconds = lasting(lasting_for)
    settings = Settings.load(os.environ)
    confirm(f"Pause {words(scope)} for {lasting_for}?", yes=yes)
    who = name_of_operator(by)
    made = asyncio.run(app.pause(settings, scope, seconds=seconds, by=who, note=note or ""))
    print(json.dumps(record(made.pause)) if as_json else f"paused: {words(scope)}, until {utc_text(made.pause.until)}")
    warn_unannounced(made.unannounced)


def resume(
    *,
    organization: Organization = None,
    destination: Destination = None,
    channel: Channel = None,
    everything: Everything = False,
    by: By = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """End a pause. What waited for its end is sent now.

    The options are those of the pause. Exit code 1 if nothing was paused, and nothing waited.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    scope = _scope(organization, destination, channel, everything=everything)
    _check_channel(channel)
    settings = Settings.load(os.environ)
    confirm(f"Resume {words(scope)}?", yes=yes)
    with reading_ladder() as step:
        ended = asyncio.run(app.resume(settings, scope, by=name_of_operator(by), step=step))
    was = "was not paused" if ended.pause is None else "resumed"
    if as_json:
        paused = None if ended.pause is None else record(ended.pause)
        print(json.dumps({"subject": scope.subject, "pause": paused, "moved": ended.moved}))
    else:
        print(f"{was}: {words(scope)}; moved to their queues: {ended.moved}")
    warn_unannounced(ended.unannounced)
    raise typer.Exit(0 if ended.pause is not None or ended.moved else PROBLEM_FOUND)


def _check_channel(channel: str | None) -> None:
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help

    try:
        app.channels(channel)
    except ValueError as fault:
        raise typer.BadParameter(str(fault), param_hint="--channel") from None


def record(pause: "Override") -> dict[str, str]:
    """A pause as JSON."""
    times = {"since": utc_text(pause.since), "until": utc_text(pause.until)}
    return {"subject": pause.subject, **times, "by": pause.by, "note": pause.note}


def words(scope: PauseScope) -> str:
    """A scope for people."""
    owner = f" of {scope.organization_id}" if scope.organization_id else ""
    if scope.destination_id:
        return f"destination {scope.destination_id}{owner}"
    if scope.channel:
        return f"channel {scope.channel}{owner or ' of all organizations'}"
    return f"organization {scope.organization_id}" if scope.organization_id else "everything"


def _list(pauses: "list[Override]", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([record(it) for it in pauses]))
        return
    names = [words(PauseScope.of(it.subject)) for it in pauses]
    width = max(map(len, names), default=0)
    for name, it in zip(names, pauses, strict=True):
        note = f": {it.note}" if it.note else ""
        print(f"{name:{width}}  until {utc_text(it.until)}  by {it.by}{note}")
    if not pauses:
        print("nothing is paused")


def _scope(organization: str | None, destination: str | None, channel: str | None, *, everything: bool) -> PauseScope:
    """The scope of these options.

    Raises:
        typer.BadParameter: they name nothing, or do not fit together.
    """
    named = any((organization, destination, channel))
    if everything == named:
        raise typer.BadParameter("write --organization, --destination, --channel, or --all alone")
    if destination and (channel or not organization):
        raise typer.BadParameter("a destination needs its --organization, and no --channel", param_hint="--destination")
    return PauseScope(organization or "", destination or "", channel or "")
