"""Sends a real unit through the real queue, and says how long each step took."""

import asyncio
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from notification_sender.cli.changing import lasting
from notification_sender.cli.conventions import identifier
from notification_sender.cli.exit_codes import PROBLEM_FOUND

if TYPE_CHECKING:
    from notification_sender.app.commands import CanaryResult

STEPS = {
    "queue": "from the queue to a worker",
    "compose": "gathered, rendered and admitted",
    "wait": "waited for its turn",
    "send": "sent and answered",
}


def canary(
    *,
    organization: Annotated[str, typer.Option(metavar="ID", callback=identifier, help="The organization.")],
    incident: Annotated[str, typer.Option(metavar="ID", callback=identifier, help="An incident of it.")],
    url: Annotated[str, typer.Option(metavar="URL", help="A webhook of yours: nobody else gets the canary.")],
    within: Annotated[str, typer.Option(metavar="DURATION", help="Give up after this time.")] = "60s",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Send a unit through the queue, and time each step.

    The unit has one destination, URL. Its event is `canary`. Exit code 1 if it is not delivered in time.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    seconds, settings = lasting(within), Settings.load(os.environ)
    result = asyncio.run(app.canary(settings, organization, incident, url, within=seconds))
    print(json.dumps(asdict(result)) if as_json else _text(result, within))
    raise typer.Exit(0 if result.end == "delivered" else PROBLEM_FOUND)


def _text(result: "CanaryResult", within: str) -> str:
    lines = [f"{ms:>9,.1f} ms  {STEPS[name]}" for name, ms in result.steps.items()]
    if result.end == "delivered":
        return "\n".join([*lines, f"{sum(result.steps.values()):>9,.1f} ms  in all: delivered"])
    end = f"{result.end} {result.reason}".strip()
    stuck = f"not delivered within {within}" if result.end == "waiting" else end
    if not result.steps:
        stuck = f"no worker has taken it within {within}"
    return "\n".join([*lines, f"{stuck}; for all of it: notification-sender explain {result.work_unit_id}"])
