"""Faults of Redis and RabbitMQ."""

import asyncio
from collections.abc import AsyncIterator

from bench.diagnose.faults.fault import Fault, caused
from bench.diagnose.judge import Expected
from bench.diagnose.scene import Scene

LATE = 0.05
"""Seconds that each round trip to Redis takes longer."""

BUSY = 5.0
"""Times the steady load: with it the slots are not enough for so late answers."""

WATERMARK = "vm_memory_monitor:set_vm_memory_high_watermark({absolute, %d})."
LOW, USUAL = 1_000_000, 2_000_000_000
"""Bytes. The usual one is that of ``tests.services.rabbitmq``."""


@caused
async def slow_redis(scene: Scene) -> AsyncIterator[None]:
    scene.store.latency = LATE / 2
    with scene.load.times(BUSY):
        yield
    scene.store.latency = 0.0


@caused
async def no_redis(scene: Scene) -> AsyncIterator[None]:
    await asyncio.to_thread(scene.redis.stop)
    yield
    await asyncio.to_thread(scene.redis.start)


@caused
async def alarm(scene: Scene) -> AsyncIterator[None]:
    await asyncio.to_thread(scene.rabbitmq.ctl, "eval", WATERMARK % LOW)
    yield
    await asyncio.to_thread(scene.rabbitmq.ctl, "eval", WATERMARK % USUAL)


@caused
async def no_broker(scene: Scene) -> AsyncIterator[None]:
    await asyncio.to_thread(scene.rabbitmq.stop)
    yield
    await asyncio.to_thread(scene.rabbitmq.start)


SLOW_REDIS = Fault(
    "Redis slow by 50 ms",
    "each round trip to Redis takes 50 ms longer, at five times the steady load",
    Expected("redis"),
    slow_redis,
)
NO_REDIS = Fault("Redis away", "Redis is stopped", Expected("redis"), no_redis)
ALARM = Fault("broker alarm", "the memory alarm of RabbitMQ is on: it blocks publishers", Expected("broker"), alarm)
NO_BROKER = Fault("broker away", "RabbitMQ is stopped", Expected("broker"), no_broker)
