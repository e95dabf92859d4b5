"""Renders a notification without sending it."""

import json
from pathlib import Path
from typing import Annotated

import typer

SAMPLE = typer.Option("--sample", help="Only print a sample context for `render`.")

MAX_CONTEXT_BYTES = 16 * 1024 * 1024
"""Bytes of a context. A unit gathers far less: an incident with 30,000 dependents has 6.4 MB."""


def render(
    *,
    work_unit: Annotated[
        typer.FileBinaryRead | None, typer.Option(metavar="FILE", help="A work unit; default: the unit of the context.")
    ] = None,
    template: Annotated[
        str | None, typer.Option(metavar="NAME", help="The template folder; default: the unit's kind.")
    ] = None,
    channel: Annotated[str, typer.Option(metavar="NAME", help="webhook or email.")] = "webhook",
    context: Annotated[
        typer.FileBinaryRead | None, typer.Option(metavar="FILE", help="The gathered facts: a JSON object, by source.")
    ] = None,
    sample: Annotated[bool, SAMPLE] = False,
    templates: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", envvar="NS_TEMPLATES_DIR", help="Your own templates; default: the shipped ones."
        ),
    ] = None,
) -> None:
    """Render a notification and print its parts. Works offline: nothing is fetched or sent."""
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.model import strict_json, unit  # noqa: PLC0415 - as above

    if sample:
        print(sample_of(unit.decode(work_unit.read()).kind if work_unit else "intel"))
        return
    facts = strict_json.read_json(context.read(), limit=MAX_CONTEXT_BYTES) if context else {}
    if not isinstance(facts, dict):
        raise typer.BadParameter("must be a JSON object of facts, by source", param_hint="--context")
    if work_unit is None and "unit" not in facts:
        raise typer.BadParameter(
            "is missing, and the context has no unit; for a sample context: notification-sender render --sample",
            param_hint="--work-unit",
        )
    it = unit.decode(work_unit.read() if work_unit else json.dumps(facts["unit"]).encode())
    parts = app.preview(templates, it, template or it.kind, channel, facts)
    print("\n".join(f"--- {name}\n{text}" for name, text in parts.items()))


def sample_of(kind: str) -> str:
    """The sample context of a kind, as JSON.

    Raises:
        UnknownKind: there is no such recipe.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - as above

    return json.dumps(app.sample(kind), ensure_ascii=False, indent=2)
