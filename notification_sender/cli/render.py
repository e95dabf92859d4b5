"""What a recipient would read, without sending it."""

from pathlib import Path
from typing import Annotated

import typer

MAX_CONTEXT = 16 * 1024 * 1024
"""Far above what one unit gathers: an incident with 30,000 dependents has 6.4 MB."""


def render(
    *,
    work_unit: Annotated[typer.FileBinaryRead, typer.Option(metavar="FILE", help="One work unit.")],
    template: Annotated[str | None, typer.Option(metavar="NAME", help="A template folder; default: its kind.")] = None,
    channel: Annotated[str, typer.Option(metavar="NAME", help="webhook or email.")] = "webhook",
    context: Annotated[
        typer.FileBinaryRead | None, typer.Option(metavar="FILE", help="The gathered facts, a JSON object by source.")
    ] = None,
    templates: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", envvar="NS_TEMPLATES_DIR", help="Your own templates; else the shipped ones."),
    ] = None,
) -> None:
    """Render a notification and print its parts. Offline: nothing is fetched, nothing is sent."""
    from notification_sender import app  # noqa: PLC0415 - not paid by --help
    from notification_sender.model import unit  # noqa: PLC0415 - as above

    it = unit.decode(work_unit.read())
    facts = unit.read_json(context.read(), limit=MAX_CONTEXT) if context else {}
    if not isinstance(facts, dict):
        raise typer.BadParameter("a JSON object is expected, by source", param_hint="--context")
    parts = app.preview(templates, it, template or it.kind, channel, facts)
    print("\n".join(f"--- {name}\n{text}" for name, text in parts.items()))
