"""A run in which as many messages wait all the time: published again as they are taken."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from bench.machine import peak_rss, read
from bench.processes import FailedError
from bench.race import STALLED, Receiver, Run, Runner, running_worker
from bench.stage import Stage

MOST_AT_ONCE = 500
"""Messages that are made and published at a time."""

RETURN_SECONDS = 20.0
"""Until the broker has back what a worker had in hand that was stopped."""


class Keeper:
    """Keeps ``waiting`` messages published that have not arrived. ``publish`` makes and publishes so many."""

    def __init__(self, waiting: int, publish: Callable[[int], Awaitable[None]]) -> None:
        self._waiting = waiting
        self._publish = publish
        self.published = 0

    async def fill(self, arrived: int) -> None:
        """Publish what is missing."""
        while (missing := self._waiting - (self.published - arrived)) > 0:
            number = min(missing, MOST_AT_ONCE)
            await self._publish(number)
            self.published += number


def keeper(stage: Stage, queue: str, url: str, waiting: int) -> Keeper:
    """Of plain units in that queue."""

    async def publish(number: int) -> None:
        await stage.publisher.publish(queue, stage.load.units(number, url))

    return Keeper(waiting, publish)


async def run_kept(stage: Stage, runner: Runner, receiver: Receiver, waiting: int, messages: int) -> Run:
    """Until so many arrived. What then waits is thrown away.

    Raises:
        FailedError: one was lost, or nothing arrives any more.

    """
    kept, readings, services = keeper(stage, runner.queue, receiver.url, waiting), [], stage.service_pids()
    await kept.fill(0)
    seen, since = 0, time.monotonic()
    async with running_worker(stage, runner, receiver) as worker:
        while (arrived := await receiver.distinct()) < messages:
            worker.check()
            if arrived > seen:
                seen, since = arrived, time.monotonic()
            elif time.monotonic() - since > STALLED:
                raise FailedError(f"{runner.name}: {arrived} of {messages} arrived:\n{worker.tail}")
            readings.append(read(worker.pid, receiver.pid, services))
            await kept.fill(arrived)
        peak = peak_rss(worker.pid)
    arrivals = await receiver.arrivals()
    ids = frozenset(webhook_id for webhook_id, _, _ in arrivals)
    await _left(stage, runner.queue, kept.published - len(ids))
    return Run(runner.name, ids, arrivals, readings, peak, worker.tail)


async def _left(stage: Stage, queue: str, number: int) -> None:
    """All that did not arrive still waits; it is thrown away.

    So does what the floor had posted and not acked when it was ended.
    """
    since = time.monotonic()
    while (depth := await stage.publisher.depth(queue)) < number:
        if time.monotonic() - since > RETURN_SECONDS:
            raise FailedError(f"{number} messages should wait in {queue}, {depth} do")
        await asyncio.sleep(0.1)
    await stage.publisher.purge(queue)
