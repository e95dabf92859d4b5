"""What the loop lost is nobody else's fault."""

import asyncio
import math
import time
from collections.abc import AsyncIterator

import pytest

from notification_sender.telemetry import lag
from notification_sender.telemetry.lag import LATE, Beat, Deadline, had, held, lost
from notification_sender.telemetry.metrics import Metrics

HELD = 0.4


def hold(seconds: float = HELD) -> None:
    """The loop, as work does that does not yield."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.fixture
async def beat() -> AsyncIterator[Beat]:
    beat = Beat(Metrics().lag)
    watching = asyncio.create_task(beat.watch())
    await asyncio.sleep(0)
    yield beat
    watching.cancel()
    await asyncio.wait({watching})


async def over(deadline: Deadline, *, held: bool = False, begin: bool = False) -> None:
    """Nobody answers."""
    async with deadline:
        if begin:
            deadline.begin(0.0)
        if held:
            hold()
        await asyncio.Event().wait()


async def beats(beat: Beat, times: int = 2) -> None:
    until = beat.number + times
    while beat.number < until:  # noqa: ASYNC110 - it cannot be awaited
        await asyncio.sleep(0)


async def test_what_is_answered_while_the_loop_is_held_is_in_time(beat: Beat) -> None:
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.3, answer.set_result, "in time")
    async with Deadline(0.2 + HELD / 2):
        hold()
        assert await answer == "in time"
    assert beat.lost > 0


async def test_who_does_not_answer_is_late_all_the_same(beat: Beat) -> None:
    with pytest.raises(TimeoutError):
        await over(Deadline(0.05), held=True)
    assert beat.lost > 0


async def test_without_a_beat_it_is_a_deadline_as_any_other() -> None:
    assert lost() == 0
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


async def test_the_time_that_was_had_stands_still_while_the_loop_is_held(beat: Beat) -> None:
    await beats(beat)
    before = had()
    hold()
    now = had()
    assert now - before < HELD
    await beats(beat)
    assert had() >= now


async def test_a_stall_is_kept_with_what_was_computed_in_it(beat: Beat) -> None:
    await beats(beat)
    hold(2 * LATE)
    await beats(beat)
    [stall] = beat.stalls
    assert stall.seconds >= stall.cpu >= LATE


async def test_each_turn_is_told_of() -> None:
    turns: list[tuple[float, float]] = []
    beat = Beat(Metrics().lag, lambda wall, cpu: turns.append((wall, cpu)))
    watching = asyncio.create_task(beat.watch())
    while len(turns) < 2:  # noqa: ASYNC110 - it cannot be awaited
        await asyncio.sleep(0)
    watching.cancel()
    await asyncio.wait({watching})
    assert all(wall >= cpu - 0.001 for wall, cpu in turns)


async def test_it_is_known_until_when_the_loop_kept_everybody_waiting(
    beat: Beat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "LONG", HELD / 2)
    await beats(beat)
    assert held() == -math.inf
    hold()
    during = held()
    await beats(beat)
    assert -math.inf < during <= held() <= time.monotonic()
