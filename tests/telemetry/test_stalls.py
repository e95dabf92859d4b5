"""The cause of a stall: our own work, a call that waits, or the machine."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from notification_sender.adapters.health_server import Health
from notification_sender.telemetry import stalls
from notification_sender.telemetry.lag import LoopMonitor, Stall
from notification_sender.telemetry.metrics import Metrics
from notification_sender.telemetry.processor import ThreadTimes
from notification_sender.telemetry.stalls import CHECK_SECONDS, STUCK_SECONDS, Watchdog
from tests.patience import patient

HELD = 0.8


class Watched:
    """A loop in this thread with a watchdog beside it."""

    def __init__(self) -> None:
        self.causes: list[str] = []
        self.counted = threading.Event()
        self.monitor = LoopMonitor(Metrics().lag)
        self.dog = Watchdog(self.monitor, self._count)

    def _count(self, cause: str) -> None:
        self.causes.append(cause)
        self.counted.set()

    async def has_reported(self) -> None:
        while not self.counted.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(CHECK_SECONDS)


@asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    it = Watched()
    watching = asyncio.create_task(it.monitor.watch())
    it.dog.start()
    await asyncio.sleep(3 * CHECK_SECONDS)
    yield it
    it.dog.stop()
    watching.cancel()
    await asyncio.wait({watching})


def compute_for_too_long() -> None:
    until = time.thread_time() + HELD
    while time.thread_time() < until:
        pass


def wait_for_too_long() -> None:
    threading.Event().wait(HELD)


@pytest.mark.parametrize(("hold", "cause"), [(compute_for_too_long, "work"), (wait_for_too_long, "blocked")])
async def test_a_stall_is_reported_once_with_its_cause_and_place(hold: Callable[[], None], cause: str) -> None:
    with capture_logs() as logs:
        async with watched() as it:
            hold()
            await it.has_reported()
    [line] = [log for log in logs if log["event"] == "loop.stalled"]
    assert it.causes == [line["cause"]]
    assert line["cause"] in {cause, "machine"}  # where it is busy besides, most of the time is its
    assert any(hold.__name__ in place for place in line["stack"])
    assert line["ms"] >= line["own_ms"] >= 500


class BlockedLoop:
    """A monitor whose loop makes no progress, as the watchdog sees it."""

    def __init__(self) -> None:
        self.checks, self.late, self.thread = 0, 0.0, threading.current_thread()
        self.stalls: deque[Stall] = deque()

    def ends(self, stall: Stall) -> None:
        self.checks, self.late = self.checks + 1, 0.0
        self.stalls.append(stall)


def watch(monkeypatch: pytest.MonkeyPatch, checks: int, apart: float, wanted: float) -> tuple[BlockedLoop, Any]:
    """Check ``checks`` times, ``apart`` s apart; each time the thread has waited ``wanted`` s for a processor."""
    clock, kept, monitor, causes = [100.0], [0.0], BlockedLoop(), []
    monkeypatch.setattr(stalls.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(stalls, "cpu_times", lambda _: ThreadTimes(0.0, kept[0]))
    dog = Watchdog(monitor, causes.append)  # type: ignore[arg-type]
    dog.check()
    for _ in range(checks):
        clock[0] += apart
        kept[0] += wanted
        monitor.late += apart
        dog.check()
    return monitor, (dog, causes)


def test_a_process_that_was_stopped_blames_the_machine_and_is_not_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor, (dog, causes) = watch(monkeypatch, checks=2, apart=30.0, wanted=0.0)
    assert dog.stuck < STUCK_SECONDS
    monitor.ends(Stall(60.0, 0.1))
    dog.check()
    assert causes == ["machine"]
    assert dog.stuck == 0


def test_a_thread_that_others_kept_from_the_processor_blames_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor, (dog, causes) = watch(monkeypatch, checks=20, apart=CHECK_SECONDS, wanted=CHECK_SECONDS)
    monitor.ends(Stall(20 * CHECK_SECONDS, 0.01))
    dog.check()
    assert causes == ["machine"]


def test_a_loop_that_never_goes_on_is_reported_once_and_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor, (dog, causes) = watch(
        monkeypatch, checks=round(2 * STUCK_SECONDS / CHECK_SECONDS), apart=CHECK_SECONDS, wanted=0.0
    )
    assert causes == ["blocked"]
    assert dog.stuck >= STUCK_SECONDS
    monitor.ends(Stall(2 * STUCK_SECONDS, 0.01))
    dog.check()
    assert (causes, dog.stuck) == (["blocked"], 0)


async def test_a_blocked_loop_is_not_alive_until_it_goes_on() -> None:
    """Asked over HTTP by another thread. The loop of this test is blocked until that thread has its answer."""
    async with watched() as it:
        health = Health(ready=dict, stuck=lambda: it.dog.stuck, dead=3 * CHECK_SECONDS, status=dict, metrics=Metrics())
        await health.start("127.0.0.1", 0)
        answers, enough = asyncio.Queue[int](), threading.Event()

        def ask() -> None:
            status = 200
            while status == HTTPStatus.OK:
                status = httpx.get(f"http://127.0.0.1:{health.port}/livez", timeout=patient(15)).status_code
            answers.put_nowait(status)
            enough.set()

        asking = threading.Thread(target=ask)
        asking.start()
        assert enough.wait(patient(60))
        asking.join()
        assert answers.get_nowait() == HTTPStatus.SERVICE_UNAVAILABLE
        async with httpx.AsyncClient() as http:
            while (await http.get(f"http://127.0.0.1:{health.port}/livez")).status_code != HTTPStatus.OK:  # noqa: ASYNC110
                await asyncio.sleep(CHECK_SECONDS)
        await health.stop()


def test_a_watchdog_that_checks_no_more_is_stuck_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    _, (dog, _) = watch(monkeypatch, checks=1, apart=CHECK_SECONDS, wanted=0.0)
    monkeypatch.setattr(stalls.time, "monotonic", lambda: 200.0)
    assert dog.stuck > STUCK_SECONDS


async def test_a_stack_names_places_and_no_values() -> None:
    secret = "a value"
    names = stalls._stack(threading.current_thread())
    assert secret
    assert any(place.endswith(":test_a_stack_names_places_and_no_values") for place in names)
    assert not any(secret in place for place in names)
