"""Is it us, and are customers affected: the fleet on one screen."""

import asyncio
import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from notification_sender.cli.exit_codes import PROBLEM_FOUND

if TYPE_CHECKING:
    from notification_sender.policy.fleet_view import Fleet, FleetView


def status(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show the limit of the fleet, and what is out or paused.

    Needs RabbitMQ and Redis only. Exit code 0 if nothing limits it, 1 otherwise.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.cli import screen  # noqa: PLC0415 - as above
    from notification_sender.policy.fleet_view import Fleet  # noqa: PLC0415 - as above
    from notification_sender.policy.summary import summary  # noqa: PLC0415 - as above
    from notification_sender.policy.verdict import verdict  # noqa: PLC0415 - as above
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    view = asyncio.run(app.fleet_view(Settings.load(os.environ)))
    judged, fleet = verdict(view), Fleet.of(view)
    lines = _lines(view, fleet)
    if as_json:
        print(json.dumps(summary(judged) | {"troubles": dict(lines)}))
    else:
        out = screen.console()
        out.print(screen.headline(judged))
        out.print(screen.section("Flow", screen.flow_lines(judged.flow)))
        table = screen.rows(("", ""), [(screen.text(name, style="bright_black"), text) for name, text in lines], left=2)
        out.print(screen.section("Fleet", table))
        out.print()
        out.print(screen.freshness(judged))
    raise typer.Exit(0 if judged.limit == "idle" else PROBLEM_FOUND)


def _lines(view: "FleetView", fleet: "Fleet") -> list[tuple[str, str]]:
    dead = view.samples[-1].dead if view.samples else None
    apis = [f"{name} {use.state}" for name, use in fleet.apis.items() if use.state != "well"]
    pauses = [f"{it.kind} {it.subject}".strip() for it in view.pauses]
    files = sorted({it for report in fleet.reports for it in report.waiting_for_files})
    templates = sorted({it for report in fleet.reports for it in report.templates_failing})
    return [
        ("slots", f"{fleet.busy:.1f} of {fleet.slots} busy"),
        ("dead letters", "unknown" if dead is None else f"{dead:,}"),
        ("APIs", ", ".join(apis) or "all well"),
        ("hosts out", ", ".join(fleet.hosts_out) or "none"),
        ("templates", ", ".join(templates) or "none fails"),
        ("files missing", "; ".join(files) or "none"),
        ("paused", ", ".join(pauses) or "nothing"),
    ]
