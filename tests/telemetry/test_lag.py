"""The seconds that the loop loses are no fault of the other side."""

import asyncio
import math
import time
from collections.abc import AsyncIterator

import pytest

from notification_sender.telemetry import lag
from notification_sender.telemetry.lag import (
    STALL_SECONDS,
    Deadline,
    LoopMonitor,
    blocked_until,
    lost_seconds,
    responsive_time,
)
from notification_sender.telemetry.metrics import Metrics

BLOCK = 0.4


def block(seconds: float = BLOCK) -> None:
    """Block the loop, as work does that does not yield."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.fixture
async def monitor() -> AsyncIterator[LoopMonitor]:
    monitor = LoopMonitor(Metrics().lag)
    watching = asyncio.create_task(monitor.watch())
    await asyncio.sleep(0)
    yield monitor
    watching.cancel()
    await asyncio.wait({watching})


async def over(deadline: Deadline, *, blocked: bool = False, begin: bool = False) -> None:
    """Nobody answers."""
    async with deadline:
        if begin:
            deadline.begin(0.0)
        if blocked:
            block()
        await asyncio.Event().wait()


async def until_checked(monitor: LoopMonitor, times: int = 2) -> None:
    until = monitor.checks + times
    while monitor.checks < until:  # noqa: ASYNC110 - it cannot be awaited
        await asyncio.sleep(0)


async def test_what_is_answered_while_the_loop_is_blocked_is_in_time(monitor: LoopMonitor) -> None:
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.3, answer.set_result, "in time")
    async with Deadline(0.2 + BLOCK / 2):
        block()
        assert await answer == "in time"
    assert monitor.lost_seconds > 0


async def test_who_does_not_answer_is_late_all_the_same(monitor: LoopMonitor) -> None:
    with pytest.raises(TimeoutError):
        await over(Deadline(0.05), blocked=True)
    assert monitor.lost_seconds > 0


async def test_without_a_monitor_it_is_a_deadline_as_any_other() -> None:
    assert lost_seconds() == 0
    with pytest.raises(TimeoutError):
        await over(Deadline(0.0))


async def test_one_that_was_not_begun_never_ends_and_one_that_is_over_says_so() -> None:
    async with Deadline() as open_end:
        await asyncio.sleep(0)
    assert (open_end.begun, open_end.expired()) == (False, False)
    late = Deadline()
    with pytest.raises(TimeoutError):
        await over(late, begin=True)
    assert late.begun
    assert late.expired()


async def test_responsive_time_stands_still_while_the_loop_is_blocked(monitor: LoopMonitor) -> None:
    await until_checked(monitor)
    before = responsive_time()
    block()
    now = responsive_time()
    assert now - before < BLOCK
    await until_checked(monitor)
    assert responsive_time() >= now


async def test_a_stall_is_kept_with_what_was_computed_in_it(monitor: LoopMonitor) -> None:
    await until_checked(monitor)
    block(2 * STALL_SECONDS)
    await until_checked(monitor)
    [stall] = monitor.stalls
    assert stall.seconds >= stall.cpu >= STALL_SECONDS


async def test_each_turn_is_reported() -> None:
    turns: list[tuple[float, float]] = []
    monitor = LoopMonitor(Metrics().lag, lambda wall, cpu: turns.append((wall, cpu)))
    watching = asyncio.create_task(monitor.watch())
    while len(turns) < 2:  # noqa: ASYNC110 - it cannot be awaited
        await asyncio.sleep(0)
    watching.cancel()
    await asyncio.wait({watching})
    assert all(wall >= cpu - 0.001 for wall, cpu in turns)


async def test_it_is_known_until_when_the_loop_kept_everybody_waiting(
    monitor: LoopMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "BLOCKED_SECONDS", BLOCK / 2)
    await until_checked(monitor)
    assert blocked_until(time.monotonic()) == -math.inf
    block()
    during = blocked_until(time.monotonic())
    await until_checked(monitor)
    assert -math.inf < during <= blocked_until(time.monotonic()) <= time.monotonic()
