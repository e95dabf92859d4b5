"""The fleet, live: by step, API, organization and destination."""

import asyncio
import json
import os
import sys
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from notification_sender.model.process_report import ApiUse, WaitCause
    from notification_sender.policy.fleet_view import Fleet, FleetView
    from notification_sender.settings import Settings

ROWS = 8
"""Lines of each table."""

ORGANIZATIONS = ("organization", "waits for", "times", "waiting", "oldest")
APIS = ("API", "state", "calls/min", "failed", "late", "mean", "in flight", "waiting")


def top(
    *,
    once: Annotated[bool, typer.Option("--once", help="Print it once, as where there is no terminal.")] = False,
    seconds: Annotated[float, typer.Option("--every", min=1.0, metavar="SECONDS", help="Time between two looks.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, once.")] = False,
) -> None:
    """Show live where the fleet spends its time.

    By step, API, organization and destination. Ctrl-C ends it.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.policy.fleet_view import Fleet  # noqa: PLC0415 - as above
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    settings = Settings.load(os.environ)
    if not (once or as_json) and sys.stdout.isatty():
        _live(settings, seconds)
        return
    from notification_sender.cli import screen  # noqa: PLC0415 - not paid by --help

    view = asyncio.run(app.fleet_view(settings))
    if as_json:
        print(json.dumps(_facts(Fleet.of(view))))
    else:
        screen.console().print(_screen(view, screen.console().width))


def _live(settings: "Settings", seconds: float) -> None:
    from rich.live import Live  # noqa: PLC0415 - not paid by --help

    from notification_sender.app import commands as app  # noqa: PLC0415 - as above
    from notification_sender.cli import screen  # noqa: PLC0415 - as above

    out, pause = screen.console(), threading.Event()
    try:
        with Live(console=out, screen=True, auto_refresh=False) as live:
            while True:
                live.update(_screen(asyncio.run(app.fleet_view(settings)), out.width), refresh=True)
                pause.wait(seconds)
    except KeyboardInterrupt:
        return


def _screen(view: "FleetView", width: int) -> "RenderableType":
    from rich.console import Group  # noqa: PLC0415 - not paid by --help

    from notification_sender.cli import screen  # noqa: PLC0415 - as above
    from notification_sender.policy.fleet_view import Fleet  # noqa: PLC0415 - as above
    from notification_sender.policy.verdict import verdict  # noqa: PLC0415 - as above
    from notification_sender.policy.waits import DESTINATION_REASONS  # noqa: PLC0415 - as above

    judged, fleet = verdict(view), Fleet.of(view)
    held = [it for it in fleet.held if it.organization][:ROWS]
    hosts = [it for it in fleet.held if it.reason in DESTINATION_REASONS][:ROWS]
    slots = f"Steps: {fleet.busy:.1f} of {fleet.slots} slots busy"
    return Group(
        screen.headline(judged),
        screen.section(slots, screen.steps(judged, width - 2)),
        screen.section("APIs", screen.rows(APIS, [_api(fleet, *it) for it in fleet.apis.items()], left=2)),
        screen.section("Organizations", _held(view, held)),
        screen.section("Destinations", _held(view, hosts, by_subject=True)),
        screen.section("Flow", screen.flow_lines(judged.flow)),
        screen.text(),
        screen.freshness(judged),
    )


def _held(view: "FleetView", held: "list[WaitCause]", *, by_subject: bool = False) -> "RenderableType":
    from notification_sender.cli import screen  # noqa: PLC0415 - not paid by --help

    if not held:
        return screen.text("nothing waits", style="bright_black")
    columns = ("destination", *ORGANIZATIONS[1:]) if by_subject else ORGANIZATIONS
    lines = [
        [
            (it.subject or it.organization) if by_subject else it.organization,
            it.reason if by_subject or not it.subject else f"{it.reason} {it.subject}",
            screen.number(it.count),
            screen.number(it.waiting),
            screen.span(view.now - it.oldest) if it.oldest else "-",
        ]
        for it in held
    ]
    return screen.rows(columns, lines, left=2)


def _api(fleet: "Fleet", name: str, use: "ApiUse") -> list[Any]:
    from notification_sender.cli import screen  # noqa: PLC0415 - not paid by --help

    mean = 1000 * sum(use.phases.values()) / use.calls if use.calls else None
    state = screen.text(use.state, style={"well": "green", "slow": "yellow"}.get(use.state, "red"))
    figures = (60 * use.calls / fleet.window, use.failed, use.late)
    return [
        name,
        state,
        *map(screen.number, figures),
        "-" if mean is None else f"{mean:,.0f} ms",
        f"{screen.number(use.in_flight)}/{screen.number(use.limit)}",
        screen.number(use.waiting),
    ]


def _facts(fleet: "Fleet") -> dict[str, Any]:
    return {
        "window_s": fleet.window,
        "slots": {"busy": round(fleet.busy, 2), "allowed": fleet.slots},
        "steps": [
            {"step": name, "slot_seconds": round(seconds, 3), "slots": fleet.slots_in.get(name, 0)}
            for name, seconds in fleet.slot_seconds.items()
        ],
        "apis": {name: asdict(use) for name, use in fleet.apis.items()},
        "waits": [asdict(it) for it in fleet.held],
        "hosts_out": list(fleet.hosts_out),
    }
