"""Checks the configuration, and reaches every service that it names."""

import asyncio
import json
import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from notification_sender.cli.conventions import identifiers
from notification_sender.cli.exit_codes import MISCONFIGURED, PROBLEM_FOUND
from notification_sender.model.errors import ConfigurationFault

if TYPE_CHECKING:
    from notification_sender.app.commands import CheckResult


def _pools(given: list[str] | None) -> list[str]:
    for text in given or ():
        name, _, number = text.partition("=")
        if not (name.isidentifier() and number.isascii() and number.isdecimal() and int(number)):
            raise typer.BadParameter(f"write an API and a number, such as incidents=50, not {text!r}")
    return given or []


def check(
    *,
    organization: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", callback=identifiers, help="Check its destinations as well; may be repeated."),
    ] = None,
    pods: Annotated[
        int | None, typer.Option(min=1, help="Check the budgets for so many pods, each started as configured.")
    ] = None,
    pool: Annotated[
        list[str] | None,
        typer.Option(metavar="API=NUMBER", callback=_pools, help="Connections behind an API; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check the configuration and reach every service it names. Sends and changes nothing."""
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    try:
        settings = Settings.load(os.environ)
        complete = app.CheckResult("configuration", ok=True, detail="complete")
        pools = {name: int(number) for name, _, number in (it.partition("=") for it in pool or ())}
        fleet = app.fleet_checks(settings, pods=pods or 1, pools=pools) if pods or pools else []
        results = [complete, *fleet, *asyncio.run(app.run_checks(settings, organization or ()))]
        code = 0 if all(result.ok for result in results) else PROBLEM_FOUND
    except ConfigurationFault as fault:
        results, code = [app.CheckResult("configuration", ok=False, detail=str(fault))], MISCONFIGURED
    print(_json(results) if as_json else _table(results))
    raise typer.Exit(code)


def _table(results: list["CheckResult"]) -> str:
    width = max(len(result.name) for result in results)
    rows = ((f"{_word(result):5}  {result.name:{width}}  ", result.detail) for result in results)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return "\n".join(head + detail if columns is None else _folded(head, detail, columns) for head, detail in rows)


def _folded(head: str, detail: str, columns: int) -> str:
    """Wrap a line to the terminal, indented under its start. Other outputs get one line each."""
    indent = " " * len(head)
    rows = [
        textwrap.wrap(row, max(20, columns - len(head)), break_long_words=False, break_on_hyphens=False)
        for row in detail.splitlines()
    ]
    return head + f"\n{indent}".join(piece for row in rows for piece in row)


def _word(result: "CheckResult") -> str:
    if not result.ok:
        return "FAULT"
    return "warn" if result.warning else "ok"


def _json(results: list["CheckResult"]) -> str:
    lines = [
        {"name": result.name, "ok": result.ok, "warning": result.warning, "detail": result.detail} for result in results
    ]
    return json.dumps({"ok": all(result.ok for result in results), "probes": lines})
