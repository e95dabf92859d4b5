"""The worker, or several of them."""

import os
from collections.abc import Mapping
from typing import Annotated

import typer

from notification_sender.processes.number import processes as number_of

VARIABLE = "NS_PROCESSES"


def _checked(text: str | None) -> str | None:
    if text is not None:
        try:
            number_of(text)
        except ValueError as fault:
            raise typer.BadParameter(str(fault)) from None
    return text


def run(
    *,
    processes: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto",
            callback=_checked,
            help="Worker processes, in place of NS_PROCESSES; auto: one for each processor.",
        ),
    ] = None,
    process: Annotated[int | None, typer.Option(hidden=True, help="Set by the parent: the number of a worker.")] = None,
    connection: Annotated[int | None, typer.Option(hidden=True, help="Set by the parent: an open socket.")] = None,
) -> None:
    """Run the worker until SIGTERM or SIGINT."""
    environ = {**os.environ} | ({VARIABLE: processes} if processes else {})
    number = _wanted(environ)
    if number > 1 and connection is None:
        from notification_sender.processes.parent import run_parent  # noqa: PLC0415 - not paid by --help

        raise typer.Exit(run_parent(number, environ | {VARIABLE: str(number)}))
    raise typer.Exit(_run_worker(environ, process, connection))


def _wanted(environ: Mapping[str, str]) -> int:
    """A value that is no number makes one worker, which refuses it together with all other faults."""
    try:
        return number_of(environ.get(VARIABLE) or "1")
    except ValueError:
        return 1


def _run_worker(environ: Mapping[str, str], process: int | None, connection: int | None) -> int:
    import socket  # noqa: PLC0415 - not paid by --help

    from notification_sender import app  # noqa: PLC0415 - as above
    from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    settings = Settings.load(environ)
    if process is None or connection is None:
        return app.run(settings)
    return app.run(settings, app.Child(process, socket.socket(fileno=connection)))
