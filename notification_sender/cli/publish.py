"""Work units from a file into the queue: all of them, or none."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer


@dataclass(frozen=True, slots=True)
class Piece:
    """One work unit of a file, as it will be published, or what is wrong there."""

    where: str
    body: bytes = b""
    fault: str | None = None


def publish(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="Work units; - reads standard input.")],
) -> None:
    """Publish work units, unless one of them is faulty.

    The file holds one JSON object, an array of them, or one a line. Nothing is published unless all are good.
    """
    from notification_sender import app  # noqa: PLC0415 - not paid by --help
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    settings = Settings.load(os.environ)
    pieces = [_checked(piece) for piece in pieces_of(file.read())]
    faults = [f"{piece.where}: {piece.fault}" for piece in pieces if piece.fault]
    if faults or not pieces:
        print("\n".join(["nothing was published", *(faults or ["there is no work unit in it"])]), file=sys.stderr)
        raise typer.Exit(1)
    asyncio.run(app.publish(settings, [piece.body for piece in pieces]))
    print(f"published: {len(pieces)}")


def pieces_of(source: bytes) -> Iterator[Piece]:
    """Take one JSON value after another, whatever separates them; an array is its members.

    What follows the first thing that is no JSON cannot be told apart, and is not looked at.
    """
    try:
        text = source.decode()
    except UnicodeDecodeError as fault:
        yield Piece(f"byte {fault.start}", fault="not UTF-8")
        return
    decoder = json.JSONDecoder()
    line, read, at = 1, 0, _beginning(text, 0)
    while at < len(text):
        line, read = line + text.count("\n", read, at), at
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as fault:
            yield Piece(f"line {line}", fault=f"not JSON: {fault}")
            return
        yield from _members(value, line) if isinstance(value, list) else [Piece(f"line {line}", text[at:end].encode())]
        at = _beginning(text, end)


def _beginning(text: str, at: int) -> int:
    """Where the next value begins."""
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _members(value: list[object], line: int) -> Iterator[Piece]:
    for number, member in enumerate(value, start=1):
        yield Piece(f"line {line}, member {number}", json.dumps(member).encode())


def _checked(piece: Piece) -> Piece:
    from notification_sender.model import unit  # noqa: PLC0415 - not paid by --help
    from notification_sender.model.errors import Permanent  # noqa: PLC0415 - as above

    if piece.fault:
        return piece
    try:
        unit.decode(piece.body)
    except Permanent as fault:
        return Piece(piece.where, fault=str(fault))
    return piece
