"""Shared by all commands: ids as arguments, times as text."""

import re

import typer

from notification_sender.model.timestamps import format_rfc3339

_IDENTIFIER = re.compile(r"[A-Za-z0-9_:-]{1,128}")


def identifier(text: str) -> str:
    """Check an id. Redis would read some other characters as a pattern.

    Raises:
        typer.BadParameter: the text cannot be an id.
    """
    if not _IDENTIFIER.fullmatch(text):
        raise typer.BadParameter("an id has 1 to 128 characters of A-Z a-z 0-9 _ : -")
    return text


def optional_identifier(text: str | None) -> str | None:
    return text and identifier(text)


def identifiers(texts: list[str] | None) -> list[str]:
    return [identifier(text) for text in texts or ()]


def utc_text(epoch: float) -> str:
    """Epoch seconds as RFC 3339 with a ``Z``, to the second."""
    return format_rfc3339(epoch, "seconds")
