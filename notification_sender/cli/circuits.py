"""The circuits of APIs and recipients' hosts: lists those that are open, and forces one open or closed for a while."""

import asyncio
import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notification_sender.cli.changing import By, Note, Yes, confirm, lasting, name_of_operator, warn_unannounced
from notification_sender.cli.conventions import utc_text
from notification_sender.cli.exit_codes import PROBLEM_FOUND

if TYPE_CHECKING:
    from notification_sender.app.commands import Circuits, ForceResult
    from notification_sender.model.override import Override

circuits = typer.Typer(help="List open circuits, and force one open or closed.")

Subject = Annotated[
    str, typer.Argument(metavar="CIRCUIT", help="api/NAME, host/HOST or host/ORGANIZATION/HOST, as in the list.")
]
For = Annotated[str, typer.Option("--for", metavar="DURATION", help="For how long, such as 30m; at most 30d.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@circuits.callback(invoke_without_command=True)
def list_(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List the circuits that are open or forced. Without a command, this is all it does."""
    if context.invoked_subcommand is not None:
        return
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    found = asyncio.run(app.circuits(Settings.load(os.environ)))
    print(json.dumps(_record(found)) if as_json else _lines(found))


@circuits.command("open")
def open_(
    circuit: Subject, *, lasting_for: For, note: Note = None, by: By = None, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Call an API, or send to a host, not at all for a while. What needs it waits, and uses no attempt."""
    _force(circuit, "open", lasting_for, note=note, by=by, yes=yes, as_json=as_json)


@circuits.command("close")
def close(
    circuit: Subject, *, lasting_for: For, note: Note = None, by: By = None, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Call an API, or send to a host, for a while whatever fails there."""
    _force(circuit, "closed", lasting_for, note=note, by=by, yes=yes, as_json=as_json)


@circuits.command("reset")
def reset(circuit: Subject, *, by: By = None, yes: Yes = False, as_json: AsJson = False) -> None:
    """Let the calls decide again whether the circuit is open.

    Exit code 1 if nothing was forced.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    settings, subject = Settings.load(os.environ), _subject(circuit)
    confirm(f"Let the calls decide again about {circuit}?", yes=yes)
    ended = asyncio.run(app.reset_circuit(settings, subject, by=name_of_operator(by)))
    if as_json:
        print(json.dumps({"subject": subject, "ended": None if ended.override is None else _forced(ended.override)}))
    else:
        print(f"{circuit}: " + ("was not forced" if ended.override is None else "the calls decide again"))
    warn_unannounced(ended.unannounced)
    raise typer.Exit(PROBLEM_FOUND if ended.override is None else 0)


def _force(
    circuit: str, value: str, lasting_for: str, *, note: str | None, by: str | None, yes: bool, as_json: bool
) -> None:
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    seconds, settings, subject = lasting(lasting_for), Settings.load(os.environ), _subject(circuit)
    confirm(f"Keep {circuit} {value} for {lasting_for}?", yes=yes)
    forcing = app.force_circuit(settings, subject, value, seconds=seconds, by=name_of_operator(by), note=note or "")
    made: ForceResult = asyncio.run(forcing)
    if made.override is not None:
        until = utc_text(made.override.until)
        print(json.dumps(_forced(made.override)) if as_json else f"{circuit}: forced {value} until {until}")
    warn_unannounced(made.unannounced)


def _subject(text: str) -> str:
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help

    try:
        return app.circuit_subject(text)
    except ValueError as fault:
        raise typer.BadParameter(str(fault), param_hint="CIRCUIT") from None


def _forced(override: "Override") -> dict[str, str]:
    times = {"since": utc_text(override.since), "until": utc_text(override.until)}
    return {"subject": override.subject, "forced": override.value, **times, "by": override.by, "note": override.note}


def _record(found: "Circuits") -> dict[str, Any]:
    opened = [
        {"subject": it.subject, "since": utc_text(it.since), "probe_in_s": round(it.probe_in, 1)} for it in found.open
    ]
    return {"open": opened, "forced": [_forced(it) for it in found.forced]}


def _lines(found: "Circuits") -> str:
    lines = [f"{it.subject}  open since {utc_text(it.since)}, next probe in {it.probe_in:.0f} s" for it in found.open]
    for it in found.forced:
        note = f": {it.note}" if it.note else ""
        lines.append(f"{it.subject}  forced {it.value} until {utc_text(it.until)}, by {it.by}{note}")
    return "\n".join(lines) or "no circuit is open or forced"
