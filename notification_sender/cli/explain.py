"""Explains what became of one unit or notification: all events of all processes, in order."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notification_sender.cli.conventions import identifier, optional_identifier
from notification_sender.cli.exit_codes import PROBLEM_FOUND

if TYPE_CHECKING:
    from notification_sender.app.commands import Story

_MESSAGE_ID = re.compile(r"<?([^<>@\s]+)@[^<>@\s]+>?")

SHOWN = ("at", "process", "step", "outcome", "reason", "attempt", "kind", "name", "until", "times", "since")
"""Fields of an event that its line shows; the others are below it."""

LEFT_OUT = ("began", "work_unit_id", "because", "limit", "from", "ms")
"""Fields that the line shows in words."""

NOTES_INDENT = " " * 14


def _id(text: str) -> str:
    """An id as it is known outside: a work unit, a ``webhook-id``, or a ``Message-ID`` with its domain."""
    match = _MESSAGE_ID.fullmatch(text.strip())
    return identifier(match[1] if match else text.strip())


def explain(
    id_: Annotated[str, typer.Argument(metavar="ID", callback=_id, hidden=True)],
    *,
    organization: Annotated[
        str | None, typer.Option(metavar="ID", callback=optional_identifier, help="Faster: search only this one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Tell what became of a work unit or a notification.

    ID is a work unit, a notification, the webhook-id or the Message-ID that a recipient has. Exit code 1 if nothing is
    known of it.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    found = asyncio.run(app.explain(Settings.load(os.environ), id_, organization))
    if found is None:
        where = f" of {organization}" if organization else ""
        print(f"nothing is known of {id_}{where}: no worker has taken it, or its record has expired", file=sys.stderr)
        raise typer.Exit(PROBLEM_FOUND)
    print(json.dumps(found.known()) if as_json else "\n".join(_lines(found)))


def _lines(story: "Story") -> Iterator[str]:
    unit = f", of work unit {story.work_unit_id}" if story.kind == "notification" and story.work_unit_id else ""
    reason = f" {story.reason}" if story.reason else ""
    yield f"{story.kind} {story.id}{unit}, of {story.organization_id}: {story.end}{reason}"
    day, widths = "", _widths(story)
    for event in story.events:
        date, _, time = str(event["at"]).removesuffix("Z").partition("T")
        if date != day:
            day = date
            yield f"\n{date} (UTC)"
        about = _about(event)
        what = "  ".join(filter(None, (_what(event), _when(event))))
        yield f"{time}  {event['process']:<{widths[0]}}  {about:<{widths[1]}}  {what}"
        yield from (f"{NOTES_INDENT}{line}" for line in _notes(event))
    if story.now:
        yield f"\nnow: {_present(story.now)}"
    if story.end == "dead":
        yield f"\n{_letter(story)}"


def _letter(story: "Story") -> str:
    """Where its dead letter is."""
    if story.letter is False:
        return "its dead letter is not there any more: it was dropped, or moved back"
    unless = "" if story.letter else ", unless it was dropped (RabbitMQ did not say)"
    return f"its dead letter: notification-sender dead show {story.id}{unless}"


def _widths(story: "Story") -> tuple[int, int]:
    return (
        max((len(it["process"]) for it in story.events), default=0),
        max((len(_about(it)) for it in story.events), default=0),
    )


def _about(event: Mapping[str, Any]) -> str:
    return "unit" if event["kind"] == "unit" else str(event["name"])[:8]


def _what(event: Mapping[str, Any]) -> str:
    """Step and outcome in words."""
    attempt = f" {event['attempt']}" if event["attempt"] else ""
    reason = event.get("because") or event["reason"]
    if limit := event.get("limit"):
        reason = f"{reason}:{limit}"
    if event["step"] == "claim" and event["outcome"] == "taken_over":
        reason = f"from {event['from']}, whose lease ran out"
    words = f"{event['step']}{attempt}: {event['outcome'].replace('_', ' ')}"
    return f"{words}, {reason}" if reason else words


def _when(event: Mapping[str, Any]) -> str:
    words = []
    if event.get("until"):
        words.append(f"until {_short(event['until'], event['at'])}")
    if event.get("times"):
        words.append(f"{event['times']} times since {_short(event['since'], event['at'])}")
    if event.get("ms") is not None:
        words.append(f"{event['ms']:g} ms")
    return ", ".join(words)


def _short(time: str, at: str) -> str:
    """Without the date, if it is the same."""
    return time.removesuffix("Z").partition("T")[2] if time[:10] == at[:10] else time


def _notes(event: Mapping[str, Any]) -> Iterator[str]:
    for name, value in event.items():
        if name in SHOWN or name in LEFT_OUT or not value:
            continue
        text = ", ".join(f"{key} {how}" for key, how in value.items()) if isinstance(value, dict) else value
        yield f"{name.replace('_', ' ')}: {text}"


def _present(now: Mapping[str, Any]) -> str:
    what = "the unit" if now["kind"] == "unit" else f"notification {now['name']}"
    if now["state"] == "waiting":
        until = f" until {now['until']}" if now["until"] else ""
        return f"{what} waits{until}" + (f": {now['reason']}" if now.get("reason") else "")
    return f"{what} is claimed by {now['process'] or 'a process'}, whose lease ends at {now['lease_until']}"
