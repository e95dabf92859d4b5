"""What is broken in a soak, one thing after the other; each has ended when its function returns."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from random import Random

import aiohttp

from bench.soak.scene import IN_FLIGHT, Scene

LASTS = 10.0
"""Seconds of what is not over at once."""

STOPPED = 15.0
"""Seconds that a worker is stopped: for longer than its lease."""

APIS = ("CURRENT", "INCIDENT", "INTEL_REQUEST", "INTEL_REQUESTS", "ASSETS", "ORGANIZATION", "TOKEN", "REVERSE")

Fault = Callable[[Scene, Random], Awaitable[None]]


async def broker_connections(scene: Scene, _: Random) -> None:
    """All of them, of all workers."""
    for link in scene.links:
        link.broker.reset()


async def store_connections(scene: Scene, _: Random) -> None:
    for link in scene.links:
        link.store.reset()


async def store_restart(scene: Scene, _: Random) -> None:
    """With the same data."""
    await asyncio.to_thread(scene.stage.redis.stop)
    await asyncio.to_thread(scene.stage.redis.start)


async def refusing(scene: Scene, dice: Random) -> None:
    """A receiver that answers 500."""
    await _ill(scene, dice, "500")


async def hanging(scene: Scene, dice: Random) -> None:
    await _ill(scene, dice, "hang")


async def _ill(scene: Scene, dice: Random, mood: str) -> None:
    receiver = dice.choice(scene.receivers)
    await receiver.turn(mood)
    await asyncio.sleep(LASTS)
    await receiver.turn("200")


async def killed(scene: Scene, _: Random) -> None:
    """Always the last worker: what the others hold is looked at from the beginning to the end."""
    member = scene.members[-1]
    scene.allowed += IN_FLIGHT
    member.signal(signal.SIGKILL)
    await member.start()


async def stopped(scene: Scene, dice: Random) -> None:
    member = dice.choice(scene.members)
    scene.allowed += IN_FLIGHT
    member.signal(signal.SIGSTOP)
    await asyncio.sleep(STOPPED)
    member.signal(signal.SIGCONT)


async def apis(scene: Scene, _: Random) -> None:
    """All of the platform answers 503."""
    await _turn(scene, 503)
    await asyncio.sleep(LASTS)
    await _turn(scene, None)


async def _turn(scene: Scene, answer: int | None) -> None:
    async with aiohttp.ClientSession(scene.stage.platform) as session:
        for name in APIS:
            async with session.post(f"/behaviours/{name}", json={"answer": answer}) as done:
                done.raise_for_status()


FAULTS: dict[str, Fault] = {
    "all broker connections reset": broker_connections,
    "all store connections reset": store_connections,
    "Redis restarted": store_restart,
    "a receiver answers 500": refusing,
    "a receiver hangs": hanging,
    "a worker killed": killed,
    "a worker stopped, and goes on": stopped,
    "all APIs answer 503": apis,
}


def in_turn(dice: Random) -> Iterator[tuple[str, Fault]]:
    """Without end: all of them before any comes again, in an order of the dice."""
    while True:
        names = list(FAULTS)
        dice.shuffle(names)
        for name in names:
            yield name, FAULTS[name]
