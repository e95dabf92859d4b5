"""The worker, or several of them."""

import os
from typing import Annotated

import typer

from notification_sender.cli.worker import VARIABLE, run_worker, wanted
from notification_sender.processes.number import processes as number_of


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
    number = wanted(environ)
    if number > 1 and connection is None:
        from notification_sender.processes.parent import run_parent  # noqa: PLC0415 - not paid by --help

        raise typer.Exit(run_parent(number, environ | {VARIABLE: str(number)}))
    raise typer.Exit(run_worker(environ, process, connection))
