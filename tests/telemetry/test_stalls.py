"""Who held the loop: we, or the machine."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from notification_sender.telemetry import stalls
from notification_sender.telemetry.lag import Beat, Stall
from notification_sender.telemetry.metrics import Metrics
from notification_sender.telemetry.stalls import DEAD, TICK, Watchdog

HELD = 0.8


class Watched:
    """A loop in this thread with a watchdog beside it."""

    def __init__(self) -> None:
        self.causes: list[str] = []
        self.told = threading.Event()
        self.beat = Beat(Metrics().lag)
        self.dog = Watchdog(self.beat, self._count)

    def _count(self, cause: str) -> None:
        self.causes.append(cause)
        self.told.set()

    async def said(self) -> None:
        while not self.told.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(TICK)


@asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    it = Watched()
    watching = asyncio.create_task(it.beat.watch())
    it.dog.start()
    await asyncio.sleep(3 * TICK)
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
async def test_it_tells_once_of_what_held_the_loop_and_where(hold: Callable[[], None], cause: str) -> None:
    with capture_logs() as logs:
        async with watched() as it:
            hold()
            await it.said()
    [line] = [log for log in logs if log["event"] == "loop.stalled"]
    assert it.causes == [line["cause"]]
    assert line["cause"] in {cause, "machine"}  # where it is busy besides, most of the time is its
    assert any(hold.__name__ in place for place in line["stack"])
    assert line["ms"] >= line["own_ms"] >= 500


class Held:
    """A beat that does not come, as the watchdog sees it."""

    def __init__(self) -> None:
        self.number, self.late, self.thread = 0, 0.0, threading.current_thread()
        self.stalls: deque[Stall] = deque()

    def ends(self, stall: Stall) -> None:
        self.number, self.late = self.number + 1, 0.0
        self.stalls.append(stall)


def looking(monkeypatch: pytest.MonkeyPatch, looks: int, apart: float, wanted: float) -> tuple[Held, Any]:
    """So many looks, each so late; in each the loop's thread wanted the processor for so long. What it counted."""
    clock, kept, beat, causes = [100.0], [0.0], Held(), []
    monkeypatch.setattr(stalls.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(stalls, "_ran", lambda _: (0.0, kept[0]))
    dog = Watchdog(beat, causes.append)  # type: ignore[arg-type]
    dog.look()
    for _ in range(looks):
        clock[0] += apart
        kept[0] += wanted
        beat.late += apart
        dog.look()
    return beat, (dog, causes)


def test_a_process_that_was_stopped_blames_the_machine_and_is_not_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    beat, (dog, causes) = looking(monkeypatch, looks=2, apart=30.0, wanted=0.0)
    assert dog.stuck < DEAD
    beat.ends(Stall(60.0, 0.1))
    dog.look()
    assert causes == ["machine"]
    assert dog.stuck == 0


def test_a_thread_that_others_kept_from_the_processor_blames_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    beat, (dog, causes) = looking(monkeypatch, looks=20, apart=TICK, wanted=TICK)
    beat.ends(Stall(20 * TICK, 0.01))
    dog.look()
    assert causes == ["machine"]


def test_a_loop_that_never_goes_on_is_told_of_once_and_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    beat, (dog, causes) = looking(monkeypatch, looks=round(2 * DEAD / TICK), apart=TICK, wanted=0.0)
    assert causes == ["blocked"]
    assert dog.stuck >= DEAD
    beat.ends(Stall(2 * DEAD, 0.01))
    dog.look()
    assert (causes, dog.stuck) == (["blocked"], 0)


def test_a_watchdog_that_looks_no_more_is_stuck_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    _, (dog, _) = looking(monkeypatch, looks=1, apart=TICK, wanted=0.0)
    monkeypatch.setattr(stalls.time, "monotonic", lambda: 200.0)
    assert dog.stuck > DEAD


async def test_a_stack_names_places_and_no_values() -> None:
    secret = "a value"
    names = stalls._stack(threading.current_thread())
    assert secret
    assert any(place.endswith(":test_a_stack_names_places_and_no_values") for place in names)
    assert not any(secret in place for place in names)
