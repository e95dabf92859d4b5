"""Renders recorded contexts with changed templates, and shows the differences."""

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from notification_sender.cli.exit_codes import PROBLEM_FOUND

File = Annotated[typer.FileBinaryRead, typer.Argument(metavar="FILE", hidden=True)]


def replay_context(
    file: File,
    *,
    templates: Annotated[Path, typer.Option(metavar="FOLDER", help="The changed templates.")],
    against: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The templates before; default: NS_TEMPLATES_DIR or shipped.")
    ] = None,
    template: Annotated[
        str | None, typer.Option(metavar="NAME", help="The template folder; default: the unit's kind.")
    ] = None,
    channel: Annotated[str, typer.Option(metavar="NAME", help="webhook or email.")] = "webhook",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Render recorded contexts with changed templates.

    FILE has contexts as for `render`, each with its unit. Works offline. Exit code 1 if anything differs.
    """
    before = against or (Path(named) if (named := os.environ.get("NS_TEMPLATES_DIR")) else None)
    differing, total = [], 0
    for where, context in _contexts(file.read()):
        total += 1
        old, new = (_rendered(folder, context, template, channel) for folder in (before, templates))
        if lines := [*_difference(old, new)]:
            differing.append({"context": where, "difference": lines})
    if as_json:
        print(json.dumps({"contexts": total, "differing": differing}))
    else:
        print("\n".join([*_text(differing), f"differing: {len(differing)} of {total}"]))
    raise typer.Exit(PROBLEM_FOUND if differing else 0)


def _contexts(source: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    from notification_sender.cli.publish import pieces_of  # noqa: PLC0415 - not paid by --help

    pieces = [*pieces_of(source)]
    for piece in pieces:
        context = None if piece.fault else json.loads(piece.body)
        if not (isinstance(context, dict) and isinstance(context.get("unit"), dict)):
            fault = piece.fault or "a context is a JSON object of facts with a unit, as `render --sample` prints it"
            raise typer.BadParameter(f"{piece.where}: {fault}", param_hint="FILE")
        yield piece.where, context
    if not pieces:
        raise typer.BadParameter("the file holds no context", param_hint="FILE")


def _rendered(
    folder: Path | None, context: Mapping[str, Any], template: str | None, channel: str
) -> dict[str, list[str]]:
    """The lines of each part. A template that fails is its fault: that is a difference, too."""
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.model.errors import Permanent  # noqa: PLC0415 - as above
    from notification_sender.model.unit import decode  # noqa: PLC0415 - as above

    unit = decode(json.dumps(context["unit"]).encode())
    try:
        parts = app.preview(folder, unit, template or unit.kind, channel, context)
    except Permanent as fault:
        return {"fault": str(fault).splitlines()}
    return {name: _lines(name, text) for name, text in parts.items()}


def _lines(name: str, text: str) -> list[str]:
    """JSON is compared field by field: one line would differ as a whole."""
    if name == "json":
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return text.splitlines()


def _difference(old: Mapping[str, list[str]], new: Mapping[str, list[str]]) -> Iterator[str]:
    for name in dict.fromkeys([*old, *new]):
        yield from difflib.unified_diff(old.get(name, []), new.get(name, []), f"{name} before", name, lineterm="", n=1)


def _text(differing: list[dict[str, Any]]) -> Iterator[str]:
    for it in differing:
        yield f"{it['context']}:"
        yield from (f"  {line}" for line in it["difference"])
        yield ""
