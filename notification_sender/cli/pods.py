"""The processes of the fleet: which are alive, and whether they are alike."""

import asyncio
import json
import os
from typing import Annotated, Any

import typer

from notification_sender.cli.exit_codes import PROBLEM_FOUND

COLUMNS = ("process", "state", "version", "config", "up", "slots", "CPU", "late", "memory", "delivered", "reported")
SPARE = ("memory", "late", "up", "reported", "CPU", "delivered")
"""What a narrow terminal does not show, the first of them first."""


def pods(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False) -> None:
    """List the worker processes, and mark frozen ones.

    With version and configuration, slots, CPU, last delivery.

    Exit code 1 if a process is frozen or cannot be read, if they differ, or if there is none.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.cli import screen  # noqa: PLC0415 - as above
    from notification_sender.model.errors import Unready  # noqa: PLC0415 - as above
    from notification_sender.policy.summary import processes_of  # noqa: PLC0415 - as above
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    view = asyncio.run(app.fleet_view(Settings.load(os.environ)))
    if view.redis_fault:
        raise Unready(view.redis_fault)
    listed = processes_of(view)
    if as_json:
        print(json.dumps(listed))
    elif not listed:
        print("no process has reported")
    else:
        width = screen.console().width
        columns, lines, left_out = screen.fitting(COLUMNS, [_line(it) for it in listed], width, SPARE)
        notes = [_drift(listed, name) for name in ("version", "configuration")]
        if left_out:
            notes.append(f"not shown in {width} columns: {', '.join(left_out)}")
        screen.show(screen.rows(columns, lines, left=4), *(screen.wrapped(it, width) for it in notes if it))
    raise typer.Exit(PROBLEM_FOUND if not listed or _differ(listed) else 0)


def _drift(listed: list[dict[str, Any]], name: str) -> str:
    kinds = {it[name] for it in listed if it["state"] == "fresh"}
    return f"the processes have {len(kinds)} {name}s: {', '.join(sorted(kinds))}" if len(kinds) > 1 else ""


def _differ(listed: list[dict[str, Any]]) -> bool:
    alive = [it for it in listed if it["state"] != "gone"]
    kinds = {(it["version"], it["configuration"]) for it in alive}
    return len(kinds) > 1 or any(it["state"] != "fresh" for it in alive)


def _line(it: dict[str, Any]) -> list[Any]:
    from notification_sender.cli import screen  # noqa: PLC0415 - not paid by --help

    colour = {"fresh": "green", "gone": "bright_black"}.get(it["state"], "red")
    figures = ("cpu", "late")
    return [
        it["process"],
        screen.text(it["state"], style=colour),
        it["version"] or "-",
        it["configuration"] or "-",
        _span(it["up_s"]),
        f"{it['slots_used']}/{it['slots_allowed']}" if it["slots"] else "-",
        *("-" if it[name] is None else f"{it[name]:.0%}" for name in figures),
        f"{it['rss'] / 1e6:.0f} MB" if it["rss"] else "-",
        _span(it["last_delivery_s"], " ago"),
        _span(it["reported_s"], " ago"),
    ]


def _span(seconds: float | None, after: str = "") -> str:
    from notification_sender.cli import screen  # noqa: PLC0415 - not paid by --help

    return "-" if seconds is None else screen.span(seconds).replace("less than ", "< ") + after
