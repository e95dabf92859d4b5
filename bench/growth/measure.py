"""One point: the floor and the full job by turns, then the full job once more with its function calls counted."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from bench import report
from bench.counting import CountedWorker, Counts, counted_worker, counts
from bench.figures import Figures, body_bytes, figures
from bench.growth.points import Point
from bench.growth.waiting import keeper, run_kept
from bench.load import Shape
from bench.processes import FailedError
from bench.race import Receiver, Run, Runner, receiving, run_to
from bench.stage import FLOOR, UNITS, WORKER, Stage, stage
from bench.steps import BY_TIME

WARM_UP = 200
COUNTED = 400
"""Messages of which the function calls are counted, once each of what grows was met."""

REFILL = 0.02
"""Seconds between two looks at how many wait."""


@dataclass(frozen=True, slots=True)
class Result:
    """Of one point: ``floor`` and ``full`` in CPU µs a webhook, ``ratios`` round by round."""

    value: int
    floor: float
    full: float
    ratios: list[float]
    rate: float
    calls: float
    again: float
    """Function calls a webhook for facts that are looked up again, and for clocks."""
    scripts: float
    """Calls to Redis a webhook, all of them."""
    bytes: int

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Measurement:
    """Of one point, on a stage of its own."""

    def __init__(self, stage: Stage, point: Point, messages: int) -> None:
        self._stage = stage
        self._point = point
        # Half of them at least after each of what grows was met.
        self._messages = max(point.messages or messages, 2 * point.met)
        self._full = Runner("full job", UNITS, lambda _: [WORKER, "run"])

    async def result(self, rounds: int) -> Result:
        async with self._receiving() as receiver:
            size = body_bytes(await self._run_to(receiver, self._full, WARM_UP, self._point.shape))
        floors, fulls = [], []
        for _ in range(rounds):
            floors.append(await self._measured(self._floor(size), self._floor_shape))
            fulls.append(await self._measured(self._full, self._point.shape))
        counted = await self._counted()
        return Result(
            value=self._point.value,
            floor=median(it.cpu for it in floors),
            full=median(it.cpu for it in fulls),
            ratios=[full.cpu / floor.cpu for floor, full in zip(floors, fulls, strict=True)],
            rate=median(it.rate for it in fulls),
            calls=counted.calls,
            again=sum(counted.steps.get(step, 0.0) for step in BY_TIME),
            scripts=sum(counted.scripts.values()) + sum(counted.others.values()),
            bytes=size,
        )

    @property
    def _floor_shape(self) -> Shape:
        """It takes a message for each webhook, and does not read what is in it."""
        return Shape(hosts=self._point.shape.hosts)

    def _floor(self, size: int) -> Runner:
        command = [sys.executable, "-m", "bench.floor", self._stage.amqp_url, FLOOR]
        return Runner("floor", FLOOR, lambda url: [*command, url, str(size), str(self._point.in_flight)])

    async def _measured(self, runner: Runner, shape: Shape) -> Figures:
        done = await self._run(runner, self._messages, shape)
        if done.lost or done.superfluous:
            raise FailedError(f"{runner.name}: {report.accounts([done])}; the end of its log:\n{done.log_tail}")
        in_flight = min(self._point.in_flight, self._point.waiting or self._point.in_flight)
        measured = figures(done, in_flight, self._point.met)
        print(report.line(runner.name, measured), flush=True)
        return measured

    async def _run(self, runner: Runner, webhooks: int, shape: Shape) -> Run:
        async with self._receiving() as receiver:
            if self._point.waiting is not None:
                return await run_kept(self._stage, runner, receiver, self._point.waiting, webhooks)
            return await self._run_to(receiver, runner, webhooks, shape)

    async def _run_to(self, receiver: Receiver, runner: Runner, webhooks: int, shape: Shape) -> Run:
        units = self._stage.load.units(ceil(webhooks / shape.told), receiver.url, shape)
        return await run_to(self._stage, runner, receiver, units, self._point.settings)

    @asynccontextmanager
    async def _receiving(self) -> AsyncIterator[Receiver]:
        async with receiving(self._stage, self._point.delay, self._point.address) as receiver:
            yield receiver

    async def _counted(self) -> Counts:
        folder = Path(tempfile.mkdtemp(dir=self._stage.folder))
        environment = self._stage.environment | self._point.settings
        cores = [self._stage.cores.worker]
        async with self._receiving() as receiver, counted_worker(environment, folder, cores) as worker:
            if self._point.waiting is None:
                return await self._counted_by_turns(worker, receiver.url)
            return await self._counted_while_waiting(worker, receiver.url, self._point.waiting)

    async def _counted_by_turns(self, worker: CountedWorker, url: str) -> Counts:
        """Nothing is in hand when it begins and when it ends."""
        told, units = self._point.shape.told, 0
        marks = []
        for webhooks in (max(WARM_UP, self._point.met), COUNTED):
            number = ceil(webhooks / told)
            await self._stage.publisher.publish(UNITS, self._stage.load.units(number, url, self._point.shape))
            units += number
            await worker.settled(units, units * told)
            marks.append(await worker.mark())
        return counts(*marks)

    async def _counted_while_waiting(self, worker: CountedWorker, url: str, waiting: int) -> Counts:
        """As much is in hand when it begins as when it ends."""
        kept = keeper(self._stage, UNITS, url, waiting)
        await kept.fill(0)
        refilling = asyncio.create_task(_refill(kept.fill, worker))
        try:
            await worker.settled(WARM_UP)
            first = await worker.mark()
            await worker.settled(WARM_UP + 2 * COUNTED)
            return counts(first, await worker.mark())
        finally:
            refilling.cancel()
            with suppress(asyncio.CancelledError):
                await refilling


async def _refill(fill: Any, worker: CountedWorker) -> None:
    while True:
        await fill(worker.acked)
        await asyncio.sleep(REFILL)


async def measure(point: Point, messages: int, rounds: int) -> Result:
    """Raises:
    FailedError: a message was lost, or a process ended.

    """
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        async with stage(Path(folder), **point.world) as prepared:
            return await Measurement(prepared, point, messages).result(rounds)
