"""One customer in trouble, and how others fare, with real workers. The full sizes: ``python -m bench.isolation``."""

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import fleet
from tests.e2e.reading import posts_at
from tests.faults.rows import row
from tests.patience import patience

Make = Callable[..., dict[str, Any]]

WELL = 9
"""Destinations beside the one in trouble."""

RATE = 60.0
"""Units a second, of all of them by turns."""


def others(sandbox: Sandbox) -> list[int]:
    """Incidents that are not of the first organization."""
    [first, *_] = sandbox.world.organizations
    return [place for place, it in enumerate(sandbox.world.incidents.values()) if it["organization_id"] != first]


def p99(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100]


async def waits(
    sandbox: Sandbox, broker: Broker, about: Make, hook: Make, *, round_: str, seconds: float
) -> list[float]:
    """How long each was on its way to the destinations that are well; published evenly, whatever becomes of them."""
    published, tasks = {}, set()
    began, places = time.time(), others(sandbox)
    for number in range(round(RATE * seconds)):
        turn = number % (WELL + 1)
        name = f"{round_}-{turn}-{number}" if turn else "in-trouble"
        place = places[number % len(places)] if turn else 0
        await asyncio.sleep(began + number / RATE - time.time())
        published[name] = time.time()
        tasks.add(asyncio.create_task(broker.publish([about(place, destinations=[hook(name)])])))
    await asyncio.gather(*tasks)
    del published["in-trouble"]
    async with patience(30):
        while not all(posts_at(sandbox.inbox, name) for name in published):
            await sandbox.inbox.receives(len(sandbox.inbox.webhooks) + 1)
    return [posts_at(sandbox.inbox, name)[0].arrived - at for name, at in published.items()]


@row(60, "one destination hangs beside nine that are well")
async def test_one_destination_that_hangs_does_not_slow_the_others(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, about: Make, hook: Make
) -> None:
    async with fleet(hasty | {"NS_CONCURRENCY": "12"}):
        await waits(sandbox, broker, about, hook, round_="warm", seconds=2)
        base = p99(await waits(sandbox, broker, about, hook, round_="base", seconds=4))
        sandbox.inbox.behaviours["in-trouble"].answer = "hang"
        beside = p99(await waits(sandbox, broker, about, hook, round_="beside", seconds=6))
    # How close it is on a quiet machine is measured by bench.isolation; where nothing is kept apart it is 20 s.
    assert beside <= base + float(hasty["NS_SEND_TIMEOUT"].removesuffix("s"))


async def test_a_backlog_of_a_slow_organization_does_not_hold_up_those_behind_it(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, about: Make, hook: Make
) -> None:
    sandbox.inbox.behaviours["in-trouble"].latency = 2.0
    behind = [about(place, destinations=[hook(f"other-{place}")]) for place in others(sandbox)[:50]]
    async with fleet(environment | {"NS_CONCURRENCY": "50"}, 2) as workers:
        await broker.publish([about(place, destinations=[hook("warm")]) for place in others(sandbox)])
        async with patience(30):
            await sandbox.inbox.accepts(len(others(sandbox)))
        for worker in workers:
            worker.process.send_signal(signal.SIGSTOP)
        await broker.publish([about(0, destinations=[hook("in-trouble")]) for _ in range(1500)])
        await broker.publish(behind)
        for worker in workers:
            worker.process.send_signal(signal.SIGCONT)
        async with patience(60):
            while sum(it.destination_id.startswith("other-") for it in sandbox.inbox.webhooks) < len(behind):
                await sandbox.inbox.receives(len(sandbox.inbox.webhooks) + 1)
    # In the order of the queue nearly all of the backlog would have been sent before them.
    assert len(posts_at(sandbox.inbox, "in-trouble")) < 1500 / 2
