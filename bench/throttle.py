"""``python -m bench.throttle``: a backlog for one destination at its own rate, beside others of the same organization.

Prints how much of the rate is used, in all and in the first minute, the fullest windows against what is due, how often
the ledger was asked for each notification, how far the order is kept, and what the others waited.
"""

import argparse
import asyncio
import math
import os
import re
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson

from bench.figures import percentile
from bench.load import Unit
from bench.processes import FailedError, Running, running
from bench.race import Receiver, publish_evenly, receiving
from bench.stage import UNITS, WORKER, Stage, stage
from notification_sender.model.notification import notification_id
from notification_sender.model.unit import decode

LATE = 0.25
"""Seconds by which a booked slot may come before its turn."""

OTHERS = 20.0
"""Notifications a second to the other destinations."""

WARM_UP = 400

AHEAD = 2.0
"""Times the rate at which the owed are published. All at once they would be taken by all processes at once, each in its
own order: what is kept is the order in which the ledger is asked.
"""

PORT = re.compile(r'"port":(\d+)')
ADMISSIONS = re.compile(r'admissions_total\{answer="(\w+)"\} ([\d.]+)')


@dataclass(frozen=True, slots=True)
class Plan:
    number: int
    rate: float
    burst: int
    processes: int


def units(record: dict[str, object], number: int, destination: dict[str, object]) -> Iterator[Unit]:
    """All of one organization, each for one destination."""
    for place in range(number):
        unit = record | {"work_unit_id": f"{destination['destination_id']}-{place}", "destinations": [destination]}
        body = orjson.dumps(unit)
        yield Unit(body, notification_id(decode(body), str(destination["destination_id"])))


def fullest(moments: Sequence[float], window: float) -> int:
    """The most that arrived in any window of so many seconds."""
    return max(bisect_right(moments, begin + window) - place for place, begin in enumerate(moments))


def disorder(ids: Sequence[str], arrived: dict[str, float]) -> float:
    """Seconds by which somebody arrived after one who was published later, at most."""
    latest, worst = -math.inf, 0.0
    for moment in (arrived[it] for it in ids):
        latest = max(latest, moment)
        worst = max(worst, latest - moment)
    return worst


async def admissions(workers: Sequence[Running]) -> dict[str, float]:
    """Answers of the ledger to all workers."""
    counted: dict[str, float] = {}
    async with httpx.AsyncClient() as client:
        for worker in workers:
            port = PORT.findall(worker.log.read_text())[0]
            text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
            for answer, value in ADMISSIONS.findall(text):
                counted[answer] = counted.get(answer, 0.0) + float(value)
    return counted


async def ready(workers: Sequence[Running]) -> None:
    while not all("worker.ready" in worker.log.read_text() for worker in workers):  # noqa: ASYNC110 - as bench.race
        await asyncio.sleep(0.1)


async def seen(receiver: Receiver, number: int, patience: float) -> None:
    """Until so many arrived.

    Raises:
        FailedError: not in so many seconds.
    """
    until = time.monotonic() + patience
    while await receiver.distinct() < number:
        if time.monotonic() > until:
            raise FailedError(f"{await receiver.distinct()} of {number} arrived in {patience:.0f} s")
        await asyncio.sleep(0.5)


async def measure(prepared: Stage, plan: Plan) -> None:
    """One run."""
    async with AsyncExitStack() as opened:
        owing, other = [await opened.enter_async_context(receiving(prepared, 0.0)) for _ in range(2)]
        record = orjson.loads(prepared.load.units(1, other.url)[0].body)
        hook = {"channel": "webhook", "template": "intel"}
        rate = {"per_minute": 60 * plan.rate, "burst": plan.burst}
        lasts = plan.number / plan.rate
        owed = list(units(record, plan.number, hook | {"destination_id": "owed", "url": owing.url, "rate": rate}))
        beside = WARM_UP + round(0.8 * OTHERS * lasts)
        others = list(units(record, beside, hook | {"destination_id": "others", "url": other.url}))
        workers = [
            await opened.enter_async_context(
                running(
                    [WORKER, "run"],
                    cores=range(os.cpu_count() or 1),
                    log=prepared.folder / f"worker-{number}.log",
                    environment=prepared.environment,
                )
            )
            for number in range(plan.processes)
        ]
        # A process that has seen nothing yet takes what was there before it in an order of its own.
        await ready(workers)
        await prepared.publisher.publish(UNITS, others[:WARM_UP])
        await seen(other, WARM_UP, 60)
        _, published = await asyncio.gather(
            publish_evenly(prepared, UNITS, owed, AHEAD * plan.rate),
            publish_evenly(prepared, UNITS, others[WARM_UP:], OTHERS),
        )
        await seen(owing, plan.number, 2 * lasts + 60)
        await seen(other, len(others), 60)
        report_owed(plan, [it.webhook_id for it in owed], await owing.arrivals())
        report_others(published, await other.arrivals())
        report_asked(await admissions(workers), plan.number)


def report_owed(plan: Plan, ids: Sequence[str], came: Sequence[tuple[str, float, int]]) -> None:
    arrived = {id_: moment for id_, moment, _ in reversed(came)}
    moments = sorted(moment for _, moment, _ in came)
    took = moments[-1] - moments[0]
    print(f"{plan.number} to one destination, {plan.rate:g}/s burst {plan.burst}, {plan.processes} processes")
    print(f"arrived {len(arrived)} of {plan.number}, {len(came) - len(arrived)} of them twice")
    print(f"in {took:.1f} s: {100 * (plan.number - plan.burst) / plan.rate / took:.1f} % of the rate")
    minute = bisect_right(moments, moments[0] + 60)
    print(f"in the first minute {100 * (minute - plan.burst) / plan.rate / min(60.0, took):.1f} % of the rate")
    for window in (1.0, 60.0):
        due = plan.burst + plan.rate * (window + LATE)
        print(f"in the fullest {window:.0f} s {fullest(moments, window)}, due {due:.0f}")
    print(f"order kept within {disorder(ids, arrived):.2f} s")


def report_others(published: Mapping[str, float], came: Sequence[tuple[str, float, int]]) -> None:
    waited = [1000 * (moment - published[id_]) for id_, moment, _ in came if id_ in published]
    p50, p99 = percentile(waited, 50), percentile(waited, 99)
    print(f"others: {len(waited)} of {len(published)}, p50 {p50:.1f} ms, p99 {p99:.1f} ms")


def report_asked(counted: Mapping[str, float], owed: int) -> None:
    told = ", ".join(f"{answer} {value:.0f}" for answer, value in sorted(counted.items()))
    again = sum(value for answer, value in counted.items() if answer != "mine")
    print(f"the ledger was asked {1 + again / owed:.3f} times for each that is owed ({told})")


async def main(plan: Plan) -> int:
    with tempfile.TemporaryDirectory(prefix="throttle-") as folder:
        async with stage(Path(folder)) as prepared:
            try:
                await measure(prepared, plan)
            except FailedError as failed:
                print(failed, file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.throttle", description=__doc__)
    parser.add_argument("--number", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=50.0, help="a second")
    parser.add_argument("--burst", type=int, default=20)
    parser.add_argument("--processes", type=int, default=4)
    sys.exit(asyncio.run(main(Plan(**vars(parser.parse_args())))))
