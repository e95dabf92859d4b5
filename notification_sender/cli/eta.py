"""How long the backlog will take."""

import asyncio
import json
import os
from typing import Annotated

import typer

from notification_sender.cli.exit_codes import PROBLEM_FOUND
from notification_sender.policy.words import counted


def eta(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Say when the backlog will be done.

    Shows what arrives, what is delivered, what waits, and what comes due when.

    Exit code 1 if it will never be done at this rate, or if that is unknown.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.cli import screen  # noqa: PLC0415 - as above
    from notification_sender.policy.verdict import verdict  # noqa: PLC0415 - as above
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    judged = verdict(asyncio.run(app.fleet_view(Settings.load(os.environ))))
    flow = judged.flow
    if as_json:
        names = ("backlog", "oldest_age_s", "arrivals_per_min", "deliveries_per_min", "eta_s", "trend", "away")
        known = {name: it for name, it in judged.as_json().items() if name in names}
        known |= {"drained_per_min": flow.drained_per_min, "never": flow.never, "fresh": judged.fresh}
        known["due"] = [{"within_s": seconds, "count": count} for seconds, count in flow.due]
        print(json.dumps(known))
    else:
        width = screen.console().width
        said = f"{judged.sentence}." if judged.away else _sentence(screen.eta(flow), flow.waiting)
        screen.show(
            screen.wrapped(said, width, style="bold"),
            screen.section("Flow", screen.flow_lines(flow, width - 2)),
            screen.text(),
            screen.freshness(judged),
        )
    raise typer.Exit(PROBLEM_FOUND if flow.eta_s is None else 0)


def _sentence(words: str, waiting: int) -> str:
    messages = counted(waiting, "message")
    if words == "nothing waits" or words.startswith("unknown"):
        return f"{words[0].upper()}{words[1:]}."
    if words.startswith("never"):
        return f"{messages} will never be done{words.removeprefix('never')}."
    return f"{messages} will be done in {words}."
