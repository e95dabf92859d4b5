"""Publishes the work units of a file: all of them, or none."""

import asyncio
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from notification_sender.cli.exit_codes import PROBLEM_FOUND
from notification_sender.cli.progress import Progress
from notification_sender.model.errors import NotificationSenderError

if TYPE_CHECKING:
    from notification_sender.app.commands import UnitReview
    from notification_sender.settings import Settings

MAX_WARNINGS = 20
"""Different warnings that are printed at most. One mistake in 10,000 lines counts as one warning."""

NEWLINE = b"\n"

REPUBLISH_ADVICE = "Publish the whole file again: publishing a unit twice does no harm."


@dataclass(frozen=True, slots=True)
class Piece:
    """One work unit of a file: its place, and its body or its fault."""

    where: str
    body: bytes = b""
    fault: str | None = None


def publish(
    file: Annotated[typer.FileBinaryRead, typer.Argument(metavar="FILE", hidden=True)],
    *,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Treat warnings as faults: unknown fields, bad destinations."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Publish work units, all or none.

    With - as FILE the command reads standard input. It holds one JSON object, an array of objects, or one object a
    line. Nothing is published if a worker would refuse one of the units. If TRACEPARENT is set, they belong to that
    trace.
    """
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    settings = Settings.load(os.environ)
    pieces = list(pieces_of(file.read()))
    reviews = asyncio.run(app.review_units(settings, [piece.body for piece in pieces]))
    refused, warnings = _faults(pieces, reviews), _warnings(pieces, reviews)
    if strict:
        refused, warnings = refused + warnings, []
    if refused or not pieces:
        _print_errors(["nothing was published", *(refused or ["the file holds no work unit"])])
    _print_errors(f"warning: {it}" for it in warnings)
    if refused or not pieces:
        raise typer.Exit(PROBLEM_FOUND)
    _publish(settings, pieces)
    print(json.dumps({"published": len(pieces)}) if as_json else f"published: {len(pieces)}")


def _publish(settings: "Settings", pieces: Sequence[Piece]) -> None:
    from notification_sender.app import commands as app  # noqa: PLC0415 - not paid by --help

    progress = Progress("published", len(pieces))
    try:
        bodies, trace = [piece.body for piece in pieces], os.environ.get("TRACEPARENT")
        asyncio.run(app.publish(settings, bodies, progress.one_more, trace))
    except NotificationSenderError as fault:
        progress.end()
        if not progress.done:
            raise
        _print_errors(
            [
                f"published {progress.done} of {len(pieces)}, then {pieces[progress.done].where}: {fault}",
                REPUBLISH_ADVICE,
            ]
        )
        raise typer.Exit(PROBLEM_FOUND) from None
    progress.end()


def _print_errors(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def _faults(pieces: Sequence[Piece], reviews: Sequence["UnitReview"]) -> list[str]:
    found = ((piece.where, piece.fault or review.fault) for piece, review in zip(pieces, reviews, strict=True))
    return [f"{where}: {fault}" for where, fault in found if fault]


def _warnings(pieces: Sequence[Piece], reviews: Sequence["UnitReview"]) -> list[str]:
    """Each different warning once, with its first place: one mistake is usually in every unit."""
    places: dict[str, list[str]] = {}
    for piece, review in zip(pieces, reviews, strict=True):
        for warning in dict.fromkeys(() if piece.fault else review.warnings):
            places.setdefault(warning, []).append(piece.where)
    lines = [f"{its[0]}{_more(len(its) - 1)}: {warning}" for warning, its in places.items()]
    return [*lines[:MAX_WARNINGS], *([f"and {len(lines) - MAX_WARNINGS} more"] if len(lines) > MAX_WARNINGS else [])]


def _more(number: int) -> str:
    return f" and {number} more" if number else ""


def pieces_of(source: bytes) -> Iterator[Piece]:
    """Read one JSON value after another, with any white space between; an array stands for its members.

    After invalid JSON, reading goes on only if the next line begins an object: else the next value's start is unknown.
    """
    try:
        text = source.decode()
    except UnicodeDecodeError as fault:
        yield Piece(f"line {1 + source.count(NEWLINE, 0, fault.start)}", fault=f"not UTF-8 (byte {fault.start})")
        return
    decoder = json.JSONDecoder()
    line, read, at = 1, 0, _beginning(text, 0)
    while at < len(text):
        line, read = line + text.count("\n", read, at), at
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as fault:
            yield Piece(f"line {line}", fault=f"not JSON: {_json_fault(fault)}")
            end = text.find("\n{", at) + 1
            if not end or end != text.find("\n", at) + 1:
                return
        else:
            piece = Piece(f"line {line}", text[at:end].encode())
            yield from _members(value, line) if isinstance(value, list) else [piece]
        at = _beginning(text, end)


def _json_fault(fault: Exception) -> str:
    if isinstance(fault, json.JSONDecodeError):
        return f"{fault.msg} (line {fault.lineno}, column {fault.colno})"
    return "nested too deep" if isinstance(fault, RecursionError) else str(fault)


def _beginning(text: str, at: int) -> int:
    """The start of the next value."""
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _members(value: list[object], line: int) -> Iterator[Piece]:
    for number, member in enumerate(value, start=1):
        yield Piece(f"line {line}, member {number}", json.dumps(member).encode())
