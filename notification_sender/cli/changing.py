"""Shared by the commands that change something: they ask, name who changed it, and say where no event was published."""

import getpass
import os
import socket
import sys
from typing import Annotated

import typer

from notification_sender.cli.exit_codes import PROBLEM_FOUND
from notification_sender.model.durations import duration
from notification_sender.model.override import LONGEST_OVERRIDE

DAY = 86_400.0

LONGEST_NAME = 200
"""Characters of a name or a note: it is stored in Redis and published."""


def _short(text: str | None) -> str | None:
    if text is not None and (len(text) > LONGEST_NAME or not text.isprintable()):
        raise typer.BadParameter(f"write at most {LONGEST_NAME} characters in one line")
    return text


Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. A script needs it.")]
By = Annotated[
    str | None,
    typer.Option(metavar="NAME", callback=_short, help="Who changes it, for the event; default: user@host."),
]
Note = Annotated[
    str | None, typer.Option("--note", metavar="TEXT", callback=_short, help="A note for others, such as a ticket.")
]


def lasting(text: str) -> float:
    """Seconds of an option ``--for``.

    Raises:
        typer.BadParameter: it is no duration, no time at all, or longer than an override may last.
    """
    try:
        seconds = duration(text)
    except ValueError as fault:
        raise typer.BadParameter(str(fault)) from None
    if seconds < 1.0:
        raise typer.BadParameter("write at least 1s")
    if seconds > LONGEST_OVERRIDE:
        raise typer.BadParameter(f"{text!r} is too long, write at most {LONGEST_OVERRIDE / DAY:.0f}d")
    return seconds


def name_of_operator(given: str | None) -> str:
    """``--by``, or ``user@host``."""
    return given or f"{_user()}@{socket.gethostname()}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container often has no name for its user
        return f"uid-{os.getuid()}"


def confirm(question: str, *, yes: bool) -> None:
    """Ask ``question`` on standard error, so that standard output has only the result.

    Raises:
        typer.BadParameter: there is nobody to ask, and ``--yes`` is missing.
        typer.Exit: the answer is no; nothing was changed.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"nobody can be asked here ({question}): add --yes", param_hint="--yes")
    if not typer.confirm(question, err=True):
        print("nothing was changed", file=sys.stderr)
        raise typer.Exit(PROBLEM_FOUND)


def ask_on_terminal(question: str, *, yes: bool) -> None:
    """As ``confirm``, for a change that does no harm: where there is nobody to ask, it is made."""
    if not yes and sys.stdin.isatty():
        confirm(question, yes=False)


def warn_unannounced(why: str) -> None:
    """Say that a change is made, and that no event of it was published. ``why`` is empty if one was."""
    if why:
        print(f"it is done, but its event was not published: {why}", file=sys.stderr)
