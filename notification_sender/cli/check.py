"""Would it work here? Configuration, then everything it points to."""

import asyncio
import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from notification_sender.model.errors import ConfigurationFault

if TYPE_CHECKING:
    from notification_sender.app import Probe

MISCONFIGURED = 78
"""EX_CONFIG of sysexits.h."""


def check(*, as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False) -> None:
    """Check the configuration and reach everything it names. Sends nothing, changes nothing."""
    from notification_sender import app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    try:
        settings = Settings.load(os.environ)
        probes = [app.Probe("configuration", ok=True, detail="complete"), *asyncio.run(app.probe(settings))]
        code = 0 if all(probe.ok for probe in probes) else 1
    except ConfigurationFault as fault:
        probes, code = [app.Probe("configuration", ok=False, detail=str(fault))], MISCONFIGURED
    print(_json(probes) if as_json else _table(probes))
    raise typer.Exit(code)


def _table(probes: list["Probe"]) -> str:
    width = max(len(probe.name) for probe in probes)
    return "\n".join(f"{_word(probe):5}  {probe.name:{width}}  {probe.detail}" for probe in probes)


def _word(probe: "Probe") -> str:
    return "ok" if probe.ok else "FAULT"


def _json(probes: list["Probe"]) -> str:
    lines = [{"name": probe.name, "ok": probe.ok, "detail": probe.detail} for probe in probes]
    return json.dumps({"ok": all(probe.ok for probe in probes), "probes": lines})
