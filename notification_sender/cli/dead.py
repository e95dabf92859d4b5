"""Dead letters: lists them with their reasons, and shows each with all that it says."""

import asyncio
import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notification_sender.cli.conventions import identifier, optional_identifier, utc_text
from notification_sender.cli.exit_codes import PROBLEM_FOUND

if TYPE_CHECKING:
    from notification_sender.app.commands import LetterGroup

dead = typer.Typer(help="List, show, replay and drop dead letters.", no_args_is_help=True)

Reason = Annotated[str | None, typer.Option(metavar="REASON", help="Only letters with this reason, as in `dead list`.")]
Organization = Annotated[
    str | None, typer.Option(metavar="ID", callback=optional_identifier, help="Only letters of this organization.")
]
Target = Annotated[
    str | None, typer.Option(metavar="ID", callback=optional_identifier, help="Only letters for this `destination_id`.")
]
Id = Annotated[
    str | None,
    typer.Option("--id", metavar="ID", callback=optional_identifier, help="Only of this notification or work unit."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dead.callback()
def group() -> None:
    """List, show, replay and drop dead letters."""


@dead.command(name="list")
def list_(
    *, reason: Reason = None, organization: Organization = None, destination: Target = None, as_json: AsJson = False
) -> None:
    """Count dead letters by reason and destination.

    Each line shows the detail of the oldest letter. Nothing is changed. Exit code 1 if none matches the options.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    settings, wanted = Settings.load(os.environ), app.LetterFilter(reason, organization, destination)
    groups = asyncio.run(app.list_dead(settings, wanted))
    if as_json:
        print(json.dumps([asdict(it) | {"oldest": utc_text(it.oldest)} for it in groups]))
    elif groups:
        print("\n".join(map(_group, groups)))
    elif wanted == app.LetterFilter():
        print("there are no dead letters")
    if not groups and wanted != app.LetterFilter():
        every = asyncio.run(app.list_dead(settings, app.LetterFilter()))
        print(app.unmatched(wanted, every) or "no dead letter matches", file=sys.stderr)
        raise typer.Exit(PROBLEM_FOUND)


def _group(group: "LetterGroup") -> str:
    owner = f"{group.organization_id or '-'}  {group.destination_id or 'work unit'}"
    return f"{group.count}  {group.reason or '-'}  {owner}  since {utc_text(group.oldest)}: {group.detail}"


@dead.command()
def show(
    id_: Annotated[
        str | None, typer.Argument(metavar="[ID]", callback=lambda it: it and identifier(it), hidden=True)
    ] = None,
    *,
    reason: Reason = None,
    organization: Organization = None,
    destination: Target = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Show so many letters at most, the oldest first.")] = 10,
    content: Annotated[bool, typer.Option("--content", help="Also what it would send: it may be personal.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show dead letters with all that they say.

    With ID only those of this notification or work unit, the oldest first. Nothing is changed. Exit code 1 if none
    matched.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    wanted = app.LetterFilter(reason, organization, destination, id_)
    shown = asyncio.run(app.show_dead(Settings.load(os.environ), wanted, most=limit, content=content))
    if as_json:
        print(json.dumps(shown.letters))
    else:
        print("\n\n".join(map(_letter, shown.letters)) or "no dead letter matches")
    if shown.matched > len(shown.letters):
        left = shown.matched - len(shown.letters)
        print(f"{left:,} more match, which are later; --limit shows more", file=sys.stderr)
    raise typer.Exit(0 if shown.letters else PROBLEM_FOUND)


def _attempt(it: dict[str, Any]) -> str:
    sent = f" (sent: {it['sent']})" if it["sent"] else ""
    return f"  attempt {it['attempt']:<9}{it['at'] or 'the last':<20}  {it['error']}{sent}"


def _letter(letter: dict[str, Any]) -> str:
    """The reason as the heading, below it a field a line, then the attempts."""
    left = {name: value for name, value in letter.items() if value not in (None, "", [], 0)}
    heading = f"{left.pop('reason', '-')}: {left.pop('detail', '')}"
    attempts, content = left.pop("attempts", []), left.pop("content", None)
    lines = [f"  {name.replace('_', ' '):<17}{value}" for name, value in left.items()]
    lines += [_attempt(it) for it in attempts]
    parts = content if isinstance(content, dict) else {"body": content} if content else {}
    lines += [f"  --- {name}\n{text}" for name, text in parts.items()]
    return "\n".join([heading, *lines])
