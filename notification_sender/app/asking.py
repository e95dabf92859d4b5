"""How long a command waits for a service. One budget for all commands: somebody looks at the screen meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from notification_sender.app.reach import Place
from notification_sender.model.errors import Unready
from notification_sender.telemetry.processor import waited_seconds

ANSWER_SECONDS = 4.0
"""Seconds until a service must have answered: for its name, the connection, the login and the first question.

Seconds for which this process waits for a processor do not count: they say nothing about a service.
"""

LONGEST_SECONDS = 15.0
"""Seconds that a command waits for a service at most, however long it waits for a processor."""

CLOSE_SECONDS = 0.5
"""Seconds for a goodbye. A service that does not answer does not answer that either."""

Answer = TypeVar("Answer")


async def answer(place: Place, question: Callable[[], Awaitable[Answer]]) -> Answer:
    """Reach a service, and return its answer to ``question``.

    Raises:
        ConfigurationFault: the service refuses us.
        Unready: it did not answer in time; names the place, its variable and what failed.
    """
    asking = asyncio.ensure_future(_answer(place, question))
    try:
        await within_budget(asking)
        return asking.result()
    except TimeoutError:
        raise Unready(f"{place}: accepts connections, but did not answer within {ANSWER_SECONDS:g} s") from None
    except Unready as fault:
        raise _named(place, fault) from fault
    finally:
        await _end(asking)


async def _answer(place: Place, question: Callable[[], Awaitable[Answer]]) -> Answer:
    # First, and not by the client: its own lookup would hold a thread for which the command's exit waits.
    await place.reach()
    return await question()


async def within_budget(task: asyncio.Future[Answer]) -> None:
    """Wait for the end of a task.

    Raises:
        TimeoutError: the time is over.
    """
    began, waited = time.monotonic(), waited_seconds()
    while not task.done():
        passed = time.monotonic() - began
        left = min(ANSWER_SECONDS - passed + waited_seconds() - waited, LONGEST_SECONDS - passed)
        if left <= 0:
            raise TimeoutError
        await asyncio.wait([task], timeout=left)


@asynccontextmanager
async def opened(place: Place, manager: AbstractAsyncContextManager[Answer]) -> AsyncIterator[Answer]:
    """Connect for the length of the block. Raises as ``answer``; an Unready of the block names the place as well."""
    entered = await answer(place, manager.__aenter__)
    try:
        yield entered
    except Unready as fault:
        raise _named(place, fault) from fault
    finally:
        leaving = asyncio.ensure_future(manager.__aexit__(None, None, None))
        await asyncio.wait([leaving], timeout=CLOSE_SECONDS)
        await _end(leaving)


async def _end(task: "asyncio.Future[Answer]") -> None:
    task.cancel()
    await asyncio.wait([task], timeout=CLOSE_SECONDS)
    if task.done() and not task.cancelled():
        task.exception()  # read, so that nobody warns of it


def _named(place: Place, fault: Unready) -> Unready:
    return fault if str(fault).startswith(str(place)) else Unready(f"{place}: {fault}")
