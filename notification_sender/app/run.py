"""A worker as a process: it works until a signal asks it to stop."""

import asyncio
import gc
import os
import resource
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import structlog

from notification_sender.app.open_files import raise_open_files
from notification_sender.app.worker_process import App
from notification_sender.settings import Settings
from notification_sender.telemetry import log
from notification_sender.worker.worker import CLOSING_SECONDS

LOOKUPS = 64
"""Concurrent lookups of our own services (APIs, RabbitMQ, Redis, mail server), each in a thread. Python's default is
six threads on two cores: names whose server hangs would fill them and block all connections. Recipients' names are
never looked up here: a stranger could fill any number of threads."""

EXIT_TIMEOUT = 1.0
"""Seconds that lookups in progress may delay the exit of the process."""

_log = structlog.get_logger()


def run(settings: Settings) -> int:
    """Run a worker until SIGTERM or SIGINT; a second signal cuts off deliveries in progress. Returns the exit code.

    Raises:
        ConfigurationFault: the worker cannot work with this configuration.
    """
    log.configure(form=settings.log_format, level=settings.log_level)
    _never_dump_memory()
    raise_open_files(settings.concurrency)
    with asyncio.Runner(loop_factory=loops(settings.event_loop)) as runner:
        code = runner.run(_serve(App(settings)))
        _leave(code)
        return code


def loops(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop of that name: ``uvloop`` where it is installed, else Python's own."""
    if name == "uvloop" and (uvloop := find_spec("uvloop")):
        made: Callable[[], asyncio.AbstractEventLoop] = import_module(uvloop.name).new_event_loop
        return made
    return asyncio.new_event_loop


async def _serve(app: App) -> int:
    stop, stop_now = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookup"))

    def signalled() -> None:
        (stop_now if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
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


async def _before(event: asyncio.Event, work: asyncio.Task[None]) -> bool:
    """Wait for ``work`` or the event, whichever is first; returns whether ``work`` is done."""
    coming = asyncio.create_task(event.wait())
    await asyncio.wait({work, coming}, return_when=asyncio.FIRST_COMPLETED)
    coming.cancel()
    return work.done()


def _never_dump_memory() -> None:
    """Disable core dumps: memory holds signing keys, tokens and customers' data, which a crash must not write to disk.

    The limit applies to dump files. It does not apply where the kernel pipes dumps to a program: there the filter
    (``man 5 core``) keeps all memory out of them. ``prctl`` is not used because it would also block profilers.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # not Linux, or no /proc
        Path("/proc/self/coredump_filter").write_text("0", encoding="ascii")


def _leave(code: int) -> None:
    """Exit after ``EXIT_TIMEOUT`` at the latest: a lookup is a thread in the C library, and Python waits for it."""
    end = threading.Timer(EXIT_TIMEOUT, os._exit, (code,))
    end.daemon = True
    end.start()


def settle_garbage() -> None:
    """Exclude the objects from start from garbage collection: they live as long as the process.

    Measured: with Python's default thresholds, collections that find nothing took a tenth of a busy worker's CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
