"""Which facts a unit costs, and why."""

from pathlib import Path
from typing import Annotated

import typer


def explain_plan(
    *,
    work_unit: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(metavar="FILE", help="One work unit: its kind, subject, destinations."),
    ] = None,
    kind: Annotated[str, typer.Option(metavar="NAME", help="Without a unit: which recipe.")] = "intel",
    template: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Without a unit's destinations: template folders.")
    ] = None,
    channel: Annotated[list[str] | None, typer.Option(metavar="NAME", help="The same: channels; default: all.")] = None,
    templates: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", envvar="NS_TEMPLATES_DIR", help="Your own templates; else the shipped ones."),
    ] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="A picture, as text for Mermaid.")] = False,
) -> None:
    """Print which sources run for a unit or a recipe, why, and what needs what. Offline: nothing is fetched."""
    from notification_sender import app  # noqa: PLC0415 - not paid by --help
    from notification_sender.model import unit  # noqa: PLC0415 - as above

    it = unit.decode(work_unit.read()) if work_unit else None
    print(app.plan(templates, it, kind=it.kind if it else kind, names=template, channels=channel, picture=mermaid))
