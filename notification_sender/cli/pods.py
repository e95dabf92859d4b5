"""The processes of the fleet: which are alive, and whether they are alike."""

import asyncio
import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notification_sender.cli.exit_codes import PROBLEM_FOUND

if TYPE_CHECKING:
    from notification_sender.policy.fleet_view import FleetView, Received

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
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    view = asyncio.run(app.fleet_view(Settings.load(os.environ)))
    if view.redis_fault:
        raise Unready(view.redis_fault)
    listed = [_facts(view, it) for it in view.received]
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


def _facts(view: "FleetView", it: "Received") -> dict[str, Any]:
    from notification_sender.policy.fleet_view import standing  # noqa: PLC0415 - not paid by --help

    state = {"silent": "frozen"}.get(word := standing(view, it), word)
    facts: dict[str, Any] = {"process": it.process, "state": state, "reported_s": round(view.now - it.at, 1)}
    report = it.report
    names = ("version", "configuration", "host", "number", "pid", "slots", "slots_allowed", "slots_used", "rss")
    facts |= {name: getattr(report, name, None) for name in (*names, "clock_offset", "unsettled", "ready")}
    if report is None:
        return facts | {"up_s": None, "cpu": None, "late": None, "last_delivery_s": None}
    seconds = report.window or 1.0
    return facts | {
        "up_s": round(view.now - report.started, 1),
        "cpu": round(report.loop.cpu / seconds, 3),
        "late": round(report.loop.lost / seconds, 3),
        "last_delivery_s": round(view.now - report.last_delivery, 1) if report.last_delivery else None,
    }


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
