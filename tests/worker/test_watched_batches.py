"""A batch whose last units never come is counted, until it is complete or nobody waits any more."""

import asyncio

import pytest

from notification_sender.ports.ledger import Key
from notification_sender.worker import watched_batches
from notification_sender.worker.watched_batches import FORGET_SECONDS, QUIET_SECONDS, WatchedBatches
from tests.oracles.ledger import MemoryLedger
from tests.virtual import VirtualClock


class Watched:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        day = 86_400.0
        ledger = MemoryLedger(
            clock=self.clock, lease=30, ledger_ttl=7 * day, story_ttl=day, horizon=60, disable_after=day
        )
        self.batches = WatchedBatches(ledger, self.clock)

    async def comes(self, number: int, *, batch: str = "night-1", size: int = 3) -> None:
        await self.batches.register(batch, size, Key("org-1", "unit", f"wu-{number}"))

    async def missing_after(self, seconds: float) -> int:
        self.clock.jump(seconds)
        await self.batches.check()
        return self.batches.missing


async def test_what_never_came_is_missing_once_the_batch_is_quiet() -> None:
    it = Watched()
    await it.comes(1)
    assert await it.missing_after(QUIET_SECONDS - 1) == 0
    await it.comes(2)
    assert await it.missing_after(QUIET_SECONDS - 1) == 0
    assert await it.missing_after(1) == 1
    await it.comes(3)
    assert await it.missing_after(QUIET_SECONDS) == 0
    assert not it.batches._last


async def test_a_batch_is_forgotten_after_an_hour() -> None:
    it = Watched()
    await it.comes(1)
    assert await it.missing_after(FORGET_SECONDS - 1) == 2
    assert await it.missing_after(1) == 0
    assert not it.batches._last


async def test_only_the_latest_batches_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_batches, "MOST", 2)
    it = Watched()
    for number in range(4):
        await it.comes(number, batch=f"night-{number}", size=2)
    assert await it.missing_after(QUIET_SECONDS) == 2


async def test_it_checks_by_itself() -> None:
    it = Watched()
    await it.comes(1)
    watching = asyncio.create_task(it.batches.watch())
    await it.clock.until(lambda: it.batches.missing == 2)
    watching.cancel()
