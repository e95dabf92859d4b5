"""A worker as a process: it works until a signal asks it to stop."""

import asyncio
import gc
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import structlog

from notification_sender.app.process import App
from notification_sender.settings import Settings
from notification_sender.telemetry import log
from notification_sender.worker.heart import SETTLING

LOOKUPS = 64
"""Names that are looked up at once, each in a thread: by default there are six on two cores, and a few customers whose
name servers hang would keep all others from being dialled."""

LEAVING = 1.0
"""Seconds that what is still being looked up may keep a process that is done."""

_log = structlog.get_logger()


def run(settings: Settings) -> int:
    """Run a worker until SIGTERM or SIGINT; a second one cuts off what is being sent. The exit code.

    Raises:
        ConfigurationFault: it can never work like this.
    """
    log.configure(form=settings.log_format, level=settings.log_level)
    with asyncio.Runner() as runner:
        code = runner.run(_serve(App(settings)))
        _leave(code)
        return code


async def _serve(app: App) -> int:
    asked, hurried = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookup"))

    def ask() -> None:
        (hurried if asked.is_set() else asked).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    starting = asyncio.create_task(app.start())
    if not await _before(asked, starting):
        # Asked to stop while it still waits for its broker or store: there is nothing to finish.
        starting.cancel()
        await _before(hurried, starting)
        return 0
    await starting
    _settle_garbage()
    await asked.wait()
    stopping = asyncio.create_task(app.stop())
    if await _before(hurried, stopping):
        await stopping
    else:
        _log.warning("worker.hurried")
        stopping.cancel()
        await asyncio.wait({stopping}, timeout=SETTLING)
    return 0


async def _before(event: asyncio.Event, work: asyncio.Task[None]) -> bool:
    """Whether ``work`` ends before the event comes; returns at whatever is first."""
    coming = asyncio.create_task(event.wait())
    await asyncio.wait({work, coming}, return_when=asyncio.FIRST_COMPLETED)
    coming.cancel()
    return work.done()


def _leave(code: int) -> None:
    """A look-up is a thread in the C library: it cannot be cut off, and Python would wait for it."""
    end = threading.Timer(LEAVING, os._exit, (code,))
    end.daemon = True
    end.start()


def _settle_garbage() -> None:
    """What was built at start lives as long as the process: no collection needs to look through it again.

    Measured: with Python's own thresholds a tenth of all CPU of a busy worker went into finding nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
