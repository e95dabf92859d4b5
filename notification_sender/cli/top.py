"""The fleet, live: by step, API, organization and destination."""

import asyncio
import json
import os
import sys
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notification_sender.cli.exit_codes import PROBLEM_FOUND

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

    By step, API, organization and destination. Ctrl-C ends it. Exit code 1 if no process reports, or a service is away.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    settings = Settings.load(os.environ)
    if not (once or as_json) and sys.stdout.isatty():
        _live(settings, seconds)
        return
    from notification_sender.cli import screen  # noqa: PLC0415 - not paid by --help

    view = asyncio.run(app.fleet_view(settings))
    if as_json:
        print(json.dumps(_facts(view)))
    else:
        screen.show(_screen(view, screen.console().width))
    raise typer.Exit(PROBLEM_FOUND if view.no_reports or view.broker_fault else 0)


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
    held = [it for it in fleet.held if it.organization and not it.reason.startswith("dead ")][:ROWS]
    hosts = [it for it in fleet.held if it.reason in DESTINATION_REASONS][:ROWS]
    flow = screen.section("Flow", screen.flow_lines(judged.flow, width - 2))
    if view.no_reports:
        return Group(screen.headline(judged, width), flow, screen.text(), screen.freshness(judged))
    slots = f"Steps: {fleet.busy:.1f} of {fleet.slots} slots busy"
    return Group(
        screen.headline(judged, width),
        screen.section(slots, screen.steps(judged, width - 2)),
        screen.section("APIs", _apis(fleet, width - 2)),
        screen.section("Organizations", _held(view, held)),
        screen.section("Destinations", _held(view, hosts, by_subject=True)),
        flow,
        screen.text(),
        screen.freshness(judged),
    )


def _apis(fleet: "Fleet", width: int) -> "RenderableType":
    from notification_sender.cli import screen  # noqa: PLC0415 - not paid by --help

    lines = [_api(fleet, *it) for it in fleet.apis.items()]
    columns, lines, _ = screen.fitting(APIS, lines, width, ("waiting", "late", "in flight", "failed"))
    return screen.rows(columns, lines, left=2)


def _held(view: "FleetView", held: "list[WaitCause]", *, by_subject: bool = False) -> "RenderableType":
    from notification_sender.cli import screen  # noqa: PLC0415 - not paid by --help

    if not held:
        return screen.text("nothing waits", style="bright_black")
    from notification_sender.policy.most import destination_of  # noqa: PLC0415 - as above

    columns = ("destination", *ORGANIZATIONS[1:]) if by_subject else ORGANIZATIONS
    lines = [
        [
            destination_of(it) if by_subject else it.organization,
            it.reason if by_subject else f"{it.reason} {_subject(it)}".rstrip(),
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


def _subject(it: "WaitCause") -> str:
    """Which limit or destination; nothing that only repeats the organization, or is a sentence."""
    own = it.subject.rpartition("/")[2] == it.organization
    return "" if own or " " in it.subject else it.subject


def _facts(view: "FleetView") -> dict[str, Any]:
    from notification_sender.cli.conventions import utc_text  # noqa: PLC0415 - not paid by --help
    from notification_sender.policy.fleet_view import Fleet  # noqa: PLC0415 - as above
    from notification_sender.policy.verdict import verdict  # noqa: PLC0415 - as above

    fleet, away = Fleet.of(view), dict(verdict(view).away)
    if view.no_reports:
        return dict.fromkeys(("window_s", "slots", "steps", "apis", "waits", "hosts_out")) | {"away": away}
    return {
        "away": away,
        "window_s": fleet.window,
        "slots": {"busy": round(fleet.busy, 2), "allowed": fleet.slots},
        "steps": [
            {"step": name, "slot_seconds": round(seconds, 3), "slots": fleet.slots_in.get(name, 0)}
            for name, seconds in fleet.slot_seconds.items()
        ],
        "apis": {name: asdict(use) for name, use in fleet.apis.items()},
        "waits": [asdict(it) | {"oldest": utc_text(it.oldest) if it.oldest else None} for it in fleet.held],
        "hosts_out": list(fleet.hosts_out),
    }
