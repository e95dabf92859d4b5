"""What became of a batch."""

import asyncio
import dataclasses
import json
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from notification_sender.policy.audit import Audit


def audit(
    *,
    batch: Annotated[str, typer.Option(metavar="ID", help="The id that its work units carry in `batch`.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Account for every work unit of a batch; 1 if any is missing."""
    from notification_sender import app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    found = asyncio.run(app.audit(Settings.load(os.environ), batch))
    if as_json:
        print(_json(batch, found))
    elif found is not None:
        print(found)
    if found is None:
        print(f"batch {batch} was never seen: no work unit that names it has been taken yet", file=sys.stderr)
    raise typer.Exit(0 if found is not None and not found.missing else 1)


def _json(batch: str, found: "Audit | None") -> str:
    if found is None:
        return json.dumps({"batch": batch, "seen": False})
    return json.dumps({"batch": batch, "seen": True, **dataclasses.asdict(found), "missing": found.missing})
