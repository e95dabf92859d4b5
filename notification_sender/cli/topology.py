"""Declares the queues and exchanges, compares them with this version's, and moves messages to another prefix."""

import asyncio
import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from notification_sender.cli.changing import Yes, confirm
from notification_sender.cli.exit_codes import PROBLEM_FOUND
from notification_sender.cli.progress import Progress

if TYPE_CHECKING:
    from notification_sender.app.commands import BrokerState, Migrated


def topology(
    *,
    diff: Annotated[bool, typer.Option("--diff", help="Compare them with this version's, and change nothing.")] = False,
    migrate: Annotated[
        str | None, typer.Option(metavar="OLD", help="Move the messages of this prefix to NS_TOPOLOGY_PREFIX.")
    ] = None,
    old_units: Annotated[
        str | None, typer.Option(metavar="QUEUE", help="The input queue of the old prefix (its NS_UNITS_QUEUE).")
    ] = None,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Declare the queues and exchanges, and list them. Existing ones stay as they are.

    With `--diff` exit code 1 if one is missing or differs. With `--migrate` exit code 1 while the old prefix holds
    messages: stop its workers, and run it again.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    if diff and migrate:
        raise typer.BadParameter("use --diff or --migrate, not both")
    if old_units and not migrate:
        raise typer.BadParameter("--old-units belongs to --migrate")
    settings = Settings.load(os.environ)
    if diff:
        state = asyncio.run(app.compare(settings))
        print(json.dumps(_compared(state)) if as_json else _difference(state))
        raise typer.Exit(PROBLEM_FOUND if state.missing or state.differing else 0)
    if migrate:
        confirm(f"Move everything of {migrate} to {settings.topology_prefix}?", yes=yes)
        progress = Progress("moved")
        try:
            done = asyncio.run(app.migrate(settings, app.Topology(migrate, old_units), progress.one_more))
        finally:
            progress.end()
        print(json.dumps(_numbers(done)) if as_json else _text(done, migrate))
        raise typer.Exit(0 if done.left.nothing else PROBLEM_FOUND)
    names = asyncio.run(app.declare(settings))
    print(json.dumps(names) if as_json else "\n".join(names))


def _compared(state: "BrokerState") -> dict[str, object]:
    return {"missing": state.missing, "differing": list(state.differing)}


def _difference(state: "BrokerState") -> str:
    lines = [f"missing    {it}" for it in state.missing] + [f"differs    {it}" for it in state.differing]
    if state.differing:
        lines.append(
            "Arguments of a queue cannot be changed: choose another NS_TOPOLOGY_PREFIX, then topology --migrate."
        )
    return "\n".join(lines) or "Everything is as this version declares it."


def _numbers(done: "Migrated") -> dict[str, object]:
    left = done.left
    return {
        "moved": dict(done.moved),
        "ready": dict(left.ready),
        "parked": left.parked,
        "parked_longest_s": left.longest,
    }


def _text(done: "Migrated", old: str) -> str:
    lines = [f"moved   {number:>9,}  {queue}" for queue, number in done.moved.items()]
    lines += [f"ready   {number:>9,}  {queue}: came meanwhile" for queue, number in done.left.ready.items()]
    if done.left.parked:
        hours = done.left.longest / 3600
        lines.append(
            f"parked  {done.left.parked:>9,}  due within {hours:.1f} h at most; each then comes to the new queue"
        )
    if done.left.nothing:
        lines.append(f"Nothing of {old} is left. Its queues and exchanges can be deleted.")
    else:
        lines.append("Run it again when no worker and no publisher uses the old prefix.")
    return "\n".join(lines)
