"""A worker as a process: it works until a signal asks it to stop."""

import asyncio
import gc
import os
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import structlog

from notification_sender.app.open_files import raise_open_files
from notification_sender.app.worker_process import App
from notification_sender.model.errors import ConfigurationFault
from notification_sender.processes.core_dumps import disable_core_dumps
from notification_sender.settings import Settings
from notification_sender.telemetry import log
from notification_sender.worker.worker import CLOSING_SECONDS

LOOKUPS = 64
"""Concurrent lookups of our own services (APIs, RabbitMQ, Redis, mail server), each in a thread. Python's default is
six threads on two cores: names whose server hangs would fill them and block all connections. Recipients' names are
never looked up here: a stranger could fill any number of threads."""

EXIT_TIMEOUT = 1.0
"""Seconds that lookups in progress may delay the exit of the process."""

FAILED, MISCONFIGURED = 1, 78
"""Exit codes of a process that ended by an error, where its threads keep it: as the command line has them."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Child:
    """A worker process of a parent: its number, from 1 on, and its end of the connection to the parent."""

    number: int
    connection: socket.socket


def run(settings: Settings, child: Child | None = None) -> int:
    """Run a worker until SIGTERM or SIGINT; a second signal cuts off deliveries in progress. Returns the exit code.

    ``child``: this is one of several worker processes of a parent. SIGQUIT cuts off then, a second SIGTERM does not:
    a service manager may send one to each process, and the parent passes on its own.

    Raises:
        ConfigurationFault: the worker cannot work with this configuration.
    """
    number, parent = (child.number, child.connection) if child else (None, None)
    log.configure(form=settings.log_format, level=settings.log_level, process=number)
    disable_core_dumps()
    raise_open_files(settings.concurrency)
    with asyncio.Runner(loop_factory=loops(settings.event_loop)) as runner:
        app = App(settings, parent, number=number)
        # ``notification-sender run`` disables it while it imports. Not frozen, the first collection would look at all.
        gc.freeze()
        gc.enable()
        try:
            code = runner.run(_serve(app, is_child=child is not None))
        except BaseException as fault:
            # The runner awaits the threads of its loop without a limit. The caller has something to say before that.
            runner.get_loop().set_default_executor(ThreadPoolExecutor(1))
            _leave(MISCONFIGURED if isinstance(fault, ConfigurationFault) else FAILED)
            raise
        _leave(code)
        return code


def loops(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop of that name: ``uvloop`` where it is installed, else Python's own."""
    if name == "uvloop" and (uvloop := find_spec("uvloop")):
        made: Callable[[], asyncio.AbstractEventLoop] = import_module(uvloop.name).new_event_loop
        return made
    return asyncio.new_event_loop


async def _serve(app: App, *, is_child: bool) -> int:
    stop, stop_now = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookup"))

    _handle_signals(stop, stop_now, is_child=is_child)
    starting = asyncio.create_task(app.start())
    if not await _before(stop, starting):
        # Stopped while it still waits for RabbitMQ or Redis: there is nothing to finish.
        starting.cancel()
        await _before(stop_now, starting)
        return 0
    await starting
    settle_garbage()
    await stop.wait()
    stopping = asyncio.create_task(app.stop())
    if await _before(stop_now, stopping):
        await stopping
    else:
        _log.warning("worker.stop_forced")
        stopping.cancel()
        await asyncio.wait({stopping}, timeout=CLOSING_SECONDS)
    return 0


def _handle_signals(stop: asyncio.Event, stop_now: asyncio.Event, *, is_child: bool) -> None:
    loop = asyncio.get_running_loop()

    def signalled() -> None:
        (stop_now if stop.is_set() and not is_child else stop).set()

    def cut_off() -> None:
        stop.set()
        stop_now.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    if is_child:
        loop.add_signal_handler(signal.SIGQUIT, cut_off)


async def _before(event: asyncio.Event, work: asyncio.Task[None]) -> bool:
    """Wait for ``work`` or the event, whichever is first; returns whether ``work`` is done."""
    coming = asyncio.create_task(event.wait())
    await asyncio.wait({work, coming}, return_when=asyncio.FIRST_COMPLETED)
    coming.cancel()
    return work.done()


def _leave(code: int) -> None:
    """Exit after ``EXIT_TIMEOUT`` at the latest: a lookup is a thread in the C library, and Python waits for it."""
    end = threading.Timer(EXIT_TIMEOUT, os._exit, (code,))
    end.daemon = True
    end.start()


def settle_garbage() -> None:
    """Exclude the objects from start from garbage collection: they live as long as the process.

    Measured: with Python's default thresholds, collections that find nothing took a tenth of a busy worker's CPU. One
    collection here would find 1,600 objects of 95,000, and the first deliveries would wait for it: as long as for a
    tenth of all imports.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
