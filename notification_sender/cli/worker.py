"""Starts a worker with as few imports as it takes: typer and the other commands would be a tenth of them."""

import gc
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from notification_sender.processes.number import processes

VARIABLE = "NS_PROCESSES"

UNUSED = ("httpx._main", "rich")
"""Modules that httpx and structlog import where they are installed, and that a worker never calls: the command line of
httpx, and coloured tracebacks. They and what they import are a tenth of all that a worker imports."""


def wanted(environ: Mapping[str, str]) -> int:
    """How many workers ``NS_PROCESSES`` asks for. A value that is no number makes one worker, which refuses it together
    with all other faults.
    """
    try:
        return processes(environ.get(VARIABLE) or "1")
    except ValueError:
        return 1


def run_worker(environ: Mapping[str, str], process: int | None = None, connection: int | None = None) -> int:
    """Run one worker until SIGTERM or SIGINT; returns the exit code. ``process`` and ``connection`` (an open socket):
    set by a parent.

    Raises:
        ConfigurationFault: the worker cannot work with this configuration.
    """
    gc.disable()  # imports make no garbage; ``app.run`` enables it again
    with _left_out(UNUSED):
        from notification_sender.app import run  # noqa: PLC0415 - not paid by --help
        from notification_sender.settings import Settings  # noqa: PLC0415 - as above

    settings = Settings.load(environ)
    if process is None or connection is None:
        return run.run(settings)
    return run.run(settings, run.Child(process, socket.socket(fileno=connection)))


@contextmanager
def _left_out(names: tuple[str, ...]) -> Iterator[None]:
    """Let the import of ``names`` fail inside the block, as if they were not installed. A recipe of another package is
    imported after it, and may need them.
    """
    left_out = [name for name in names if name not in sys.modules]
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(left_out))  # None: the import system's word for "there is none"
    try:
        yield
    finally:
        for name in left_out:
            sys.modules.pop(name, None)
