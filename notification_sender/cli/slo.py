"""The objectives: which are kept, and how much of their budgets is left."""

import asyncio
import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notification_sender.cli.exit_codes import PROBLEM_FOUND

if TYPE_CHECKING:
    from notification_sender.policy.objectives import ObjectiveState

COLUMNS = ("step", "state", "within", "target", "now", "observed", "budget left", "in 30 d")
SPARE = ("in 30 d", "observed")
"""What a narrow terminal does not show, the first of them first."""

COLOURS = {"kept": "green", "quiet": "bright_black", "unknown": "yellow"}


def slo(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False) -> None:
    """Show the objective of each critical step.

    With its target, the share of the last one to two hours, and what is left of its budget of 30 days.

    Exit code 1 if one is missed now, if a budget is spent, or if no process reports.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    found = asyncio.run(app.objective_states(Settings.load(os.environ)))
    if as_json:
        print(json.dumps([it.as_json() for it in found]))
    else:
        _show(found)
    raise typer.Exit(0 if all(it.state in {"kept", "quiet"} for it in found) else PROBLEM_FOUND)


def _show(found: "list[ObjectiveState]") -> None:
    from notification_sender.cli import screen  # noqa: PLC0415 - not paid by --help
    from notification_sender.policy.declared_objectives import LEAST_OBSERVATIONS  # noqa: PLC0415 - as above

    width = screen.console().width
    columns, lines, _ = screen.fitting(COLUMNS, [_line(it) for it in found], width, SPARE)
    note = f"quiet: fewer than {LEAST_OBSERVATIONS} were observed"
    if not all(it.known for it in found):
        note = "Unknown: no process reports. What is left of the budgets is as of its last report"
    screen.show(screen.rows(columns, lines, left=2), screen.text(), screen.wrapped(f"{note}.", width))


def _line(it: "ObjectiveState") -> list[Any]:
    from notification_sender.cli import screen  # noqa: PLC0415 - not paid by --help

    within = it.objective.within
    return [
        it.objective.step,
        screen.text(it.state, style=COLOURS.get(it.state, "red")),
        f"{1000 * within:g} ms" if within < 1 else f"{within:g} s",
        f"{100 * it.objective.share:g} %",
        "-" if it.present is None else f"{100 * it.present:.2f} %",
        f"{it.recent.observed:,}" if it.known else "-",
        "-" if it.budget_left is None else f"{100 * max(it.budget_left, 0.0):.0f} %",
        f"{it.whole.observed:,}",
    ]
