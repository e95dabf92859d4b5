"""Tasks beside the work: they are kept, cancelled and logged in one way."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

PAUSE = 1.0
"""Seconds before work that failed starts again."""

WELL_SECONDS = 60.0
"""Work that ran for so long was well: if it fails where it failed before, that is news."""

_log = structlog.get_logger()


class BackgroundTasks:
    """Short tasks that nobody awaits. asyncio keeps no strong reference: without this set one may vanish half-way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel the tasks and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class LogOnChange:
    """Logs an error that lasts once: a server that is away for an hour is one line, not 3600."""

    def __init__(self, log: Callable[..., Any], event: str, **fields: Any) -> None:
        self._log = log
        self._event = event
        self._fields = fields
        self._last = ""

    def __call__(self, error: str, /, **fields: Any) -> None:
        """Log ``error`` unless it is the last one again. An empty ``error`` means that all is well: nothing is logged,
        and the next error is. ``fields`` are logged as well, and do not count as a change.
        """
        if error and error != self._last:
            self._log(self._event, **({"error": error} | self._fields | fields))
        self._last = error


async def together(*work: Coroutine[Any, Any, object]) -> None:
    """Run all ``work`` at once. When one fails, or the caller is cancelled, the others are cancelled and awaited."""
    tasks = [asyncio.ensure_future(it) for it in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run_forever(work: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
    """Run ``work`` until it returns or the task is cancelled. An error starts the work again, after a pause: the
    process cannot do without this work, and nobody awaits the task. An error that lasts is logged once; the same error
    is logged again if the work ran for ``WELL_SECONDS`` in between.
    """
    return asyncio.create_task(_run(work, name), name=name)


async def _run(work: Callable[[], Awaitable[None]], name: str) -> None:
    failed = LogOnChange(_log.error, "task.failed", task=name)
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await work()
        except Exception as fault:  # noqa: BLE001 - whatever it is, the process cannot do without this work
            if loop.time() - began >= WELL_SECONDS:
                failed("")
            # The message of the error is left out: it may be the content of a message.
            where = "".join(traceback.format_tb(fault.__traceback__))
            failed(where, error=type(fault).__name__, where=where)
            await asyncio.sleep(PAUSE)
        else:
            return
