"""Why the queue does not drain: the verdict on the fleet."""

import asyncio
import json
import os
from typing import Annotated

import typer

from notification_sender.cli.exit_codes import PROBLEM_FOUND

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def why(*, as_json: AsJson = False) -> None:
    """Say what limits the fleet, and if more pods will help.

    Needs RabbitMQ and Redis only. Exit code 0 if nothing does, 1 otherwise.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.cli import screen  # noqa: PLC0415 - as above
    from notification_sender.policy.verdict import verdict  # noqa: PLC0415 - as above
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    judged = verdict(asyncio.run(app.fleet_view(Settings.load(os.environ))))
    if as_json:
        print(json.dumps(judged.as_json()))
    else:
        width = screen.console().width
        parts = [screen.headline(judged, width)]
        if judged.advice:
            parts.append(screen.advice(judged, width))
        if judged.candidates:
            parts.append(screen.section("Where the time of the slots goes", screen.steps(judged, width - 2)))
            parts.append(screen.section("What could be the limit", screen.candidates(judged)))
        if judged.overrides:
            parts.append(screen.section("What operators have set", screen.overrides(judged, width - 2)))
        parts.append(screen.section("Flow", screen.flow_lines(judged.flow, width - 2)))
        screen.show(*parts, screen.text(), screen.freshness(judged))
    raise typer.Exit(0 if judged.limit == "idle" else PROBLEM_FOUND)
