"""Explains which facts a unit needs, and why."""

from pathlib import Path
from typing import Annotated

import typer

from notification_sender.cli.render import SAMPLE, sample_of


def explain_plan(
    *,
    work_unit: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(metavar="FILE", help="A work unit; its kind, subject and destinations are used."),
    ] = None,
    kind: Annotated[str, typer.Option(metavar="NAME", help="The recipe, if no unit is given.")] = "intel",
    template: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Template folders, if the unit has no destinations.")
    ] = None,
    channel: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Channels, if the unit has no destinations.")
    ] = None,
    templates: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", envvar="NS_TEMPLATES_DIR", help="Your own templates; default: the shipped ones."
        ),
    ] = None,
    sample: Annotated[bool, SAMPLE] = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid diagram.")] = False,
) -> None:
    """Print which facts a unit needs, and why.

    Shows the sources that run, those that do not, and what needs each. Works offline: nothing is fetched.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.model import unit  # noqa: PLC0415 - as above

    it = unit.decode(work_unit.read()) if work_unit else None
    if sample:
        print(sample_of(it.kind if it else kind))
        return
    print(app.plan(templates, it, kind=it.kind if it else kind, names=template, channels=channel, picture=mermaid))
