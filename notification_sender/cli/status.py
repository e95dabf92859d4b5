"""Is it us, and are customers affected: the fleet on one screen."""

import asyncio
import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from notification_sender.cli.exit_codes import PROBLEM_FOUND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notification_sender.policy.flow import Flow
    from notification_sender.policy.summary import State


def status(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show the limit of the fleet, and what is out or paused.

    Needs RabbitMQ and Redis only. Exit code 0 if nothing limits it, 1 otherwise.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.cli import screen  # noqa: PLC0415 - as above
    from notification_sender.policy.summary import state_of, summary  # noqa: PLC0415 - as above
    from notification_sender.policy.verdict import verdict  # noqa: PLC0415 - as above
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    view = asyncio.run(app.fleet_view(Settings.load(os.environ)))
    judged, state = verdict(view), state_of(view)
    if as_json:
        print(json.dumps(summary(judged) | {"state": state}))
    else:
        width = screen.console().width
        parts = [
            screen.headline(judged, width),
            screen.section("Flow", screen.flow_lines(judged.flow, width - 2)),
            screen.section("Fleet", screen.pairs(_lines(state, judged.flow), width - 2)),
        ]
        if judged.overrides:
            parts.append(screen.section("What operators have set", screen.overrides(judged, width - 2)))
        screen.show(*parts, screen.text(), screen.freshness(judged))
    raise typer.Exit(0 if judged.limit == "idle" else PROBLEM_FOUND)


def _lines(state: "State", flow: "Flow") -> "Iterator[tuple[str, str | list[str]]]":
    from notification_sender.cli import screen  # noqa: PLC0415 - not paid by --help

    dead = state["dead_letters"]
    yield "dead letters", screen.unknown(flow.no_depths) if dead is None else f"{dead:,}"
    if (slots := state["slots"]) is None:
        yield "all else", screen.unknown(flow.no_reports)
        return
    yield "slots", f"{slots['busy']:.1f} of {slots['allowed']} busy"
    yield "APIs", ", ".join(f"{name} {it}" for name, it in state["apis"].items() if it != "well") or "all well"
    yield "hosts out", ", ".join(state["hosts_out"]) or "none"
    yield "templates", ", ".join(state["templates_failing"]) or "none fails"
    yield "files missing", [f"{it['destination']}: {it['cause']}" for it in state["files_missing"]] or "none"
