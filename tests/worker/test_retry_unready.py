"""While RabbitMQ or Redis is away each step of the worker is repeated, as long as it is worth it."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from notification_sender.model.errors import Unready
from notification_sender.ports.broker import DeadLetter, Lane, MessageState, Outbox, Parked
from notification_sender.ports.ledger import BatchTracker, Claim, Key, Ledger, TerminalState, WriteResult
from notification_sender.worker.drain import Drain, Draining
from notification_sender.worker.retry_unready import PAUSE, RetryingLedger, RetryingOutbox, UnreadyRetry
from tests.virtual import VirtualClock

KEY = Key("org-1", "unit", "wu-1")
CLAIM = Claim(KEY, "token", 1)
DONE = TerminalState("done", "")
STATE = MessageState(1.0)


class Backend:
    """Every method fails ``faults`` times, then returns what it was called with."""

    def __init__(self, faults: int) -> None:
        self.faults = faults
        self.fault: Exception = Unready("away")
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def method(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, args, kwargs))
            if len(self.calls) <= self.faults:
                raise self.fault
            return WriteResult(ours=True)

        return method


class Stand:
    def __init__(self, faults: int) -> None:
        self.clock = VirtualClock()
        self.backend = Backend(faults)
        self.retry = UnreadyRetry(clock=self.clock)
        self.drain = Drain(clock=self.clock, send_timeout=15.0)
        self.outbox = RetryingOutbox(cast("Outbox", self.backend), retry=self.retry)
        self.ledger = RetryingLedger(
            cast("Ledger", self.backend), cast("BatchTracker", self.backend), retry=self.retry, drain=self.drain
        )

    async def ends(self, step: Awaitable[Any]) -> None:
        """Let time pass until ``step`` has ended, and raise what it raised."""
        task = asyncio.ensure_future(step)
        await self.clock.until(task.done)
        await task


STEPS: dict[str, Callable[[Stand], Awaitable[Any]]] = {
    "park": lambda it: it.outbox.park(Parked(Lane.UNITS, b"", 1.0, STATE)),
    "bury": lambda it: it.outbox.bury(DeadLetter(b"", "crashed", "", "units", STATE)),
    "register": lambda it: it.ledger.register("batch", 1, KEY),
    "claim": lambda it: it.ledger.claim(KEY, "token", 1, replays=2, alone=False),
    "finish": lambda it: it.ledger.finish(CLAIM, DONE),
    "release": lambda it: it.ledger.release(CLAIM, 2, delay=5.0),
    "note": lambda it: it.ledger.note(KEY, DONE),
}


@pytest.mark.parametrize("name", STEPS)
async def test_a_step_is_repeated_with_the_same_arguments_until_it_succeeds(name: str) -> None:
    stand = Stand(faults=3)
    began = stand.clock.monotonic()
    await stand.ends(STEPS[name](stand))
    assert len(stand.backend.calls) == 4
    assert all(call == stand.backend.calls[0] for call in stand.backend.calls)
    assert stand.backend.calls[0][0] == name
    assert stand.clock.monotonic() - began == pytest.approx(3 * PAUSE)


async def test_a_step_with_a_bound_of_its_own_fails_after_that() -> None:
    stand = Stand(faults=1000)
    began = stand.clock.monotonic()
    with pytest.raises(Unready):
        await stand.ends(stand.outbox.within(2.0).park(Parked(Lane.UNITS, b"", 1.0, STATE)))
    with pytest.raises(Unready):
        await stand.ends(stand.ledger.within(2.0).finish(CLAIM, DONE))
    assert stand.clock.monotonic() - began == pytest.approx(4.0)


async def test_no_claim_is_asked_for_when_redis_is_back_too_late_for_its_work() -> None:
    stand = Stand(faults=1)
    stand.drain.begin(stand.clock.monotonic() + 15.0)
    with pytest.raises(Draining):
        await stand.ends(STEPS["claim"](stand))
    assert len(stand.backend.calls) == 1


async def test_while_a_step_is_repeated_the_time_counts_as_troubled() -> None:
    stand = Stand(faults=2)
    await stand.ends(STEPS["note"](stand))
    assert stand.retry.outage(math.inf) == stand.clock.monotonic()


@pytest.mark.parametrize("fault", [Unready("away"), RuntimeError("WRONGTYPE"), TypeError("a bug")])
async def test_a_story_that_cannot_be_told_fails_nothing_that_is_parked_already(fault: Exception) -> None:
    stand = Stand(faults=1)
    stand.backend.fault = fault
    await stand.ledger.note_deferral(KEY, "{}", delay=1.0)
    assert len(stand.backend.calls) == 1
