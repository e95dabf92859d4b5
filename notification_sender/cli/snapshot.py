"""Writes the state of the fleet into one redacted file."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from notification_sender.cli.exit_codes import PROBLEM_FOUND


def snapshot(
    *,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it here; default: standard output.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="It is JSON in any case.")] = False,  # noqa: ARG001 - as others
) -> None:
    """Write the state of the fleet into one redacted file.

    Settings, checks, organizations, destinations, dead letters and cache, as JSON. Exit code 1 if a part is missing.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    taken = asyncio.run(app.snapshot(Settings.load(os.environ)))
    text = json.dumps(taken, indent=2, ensure_ascii=False)
    if output is None:
        print(text)
    else:
        _write(output, text)
    faults = [name for name, part in taken.items() if isinstance(part, dict) and "fault" in part]
    for name in faults:
        print(f"{name}: {taken[name]['fault']}", file=sys.stderr)
    raise typer.Exit(PROBLEM_FOUND if faults else 0)


def _write(output: Path, text: str) -> None:
    """For the user alone: it names organizations and hosts."""
    try:
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
    except OSError as fault:
        raise typer.BadParameter(f"{output} cannot be written: {fault.strerror}", param_hint="--output") from None
