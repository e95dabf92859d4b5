"""RabbitMQ or Redis may be away: the worker keeps a step in hand and repeats it until they are back."""

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog

from notification_sender.model.errors import Unready
from notification_sender.ports.broker import DeadLetter, Outbox, Parked
from notification_sender.ports.clock import Clock
from notification_sender.ports.ledger import (
    AttemptReport,
    BatchTracker,
    Claim,
    ClaimReply,
    Key,
    Ledger,
    TerminalState,
    UnitEnd,
    WriteResult,
)
from notification_sender.telemetry.lag import blocked_until
from notification_sender.worker.drain import Drain

LONGEST_RETRY = 300.0
"""Seconds for which one step is repeated. Then its message is parked, long before RabbitMQ's own consumer timeout."""

PAUSE = 0.25
"""Seconds between two tries."""

Result = TypeVar("Result")
_log = structlog.get_logger()


class UnreadyRetry:
    """A step that is repeated keeps its slot, so an outage never collects more deliveries than there are slots."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._repeating = 0
        self._until = -math.inf

    def outage(self, now: float) -> float:
        """Until when RabbitMQ or Redis was away, or our own loop was blocked, on the monotonic clock; ``now`` while
        that lasts.
        """
        return now if self._repeating else max(self._until, blocked_until(now))

    async def run(self, step: Callable[[], Awaitable[Result]], longest: float = LONGEST_RETRY) -> Result:
        """Repeat ``step`` until it succeeds. One step, never two: the first of two would be done again.

        Raises:
            Unready: it still failed after ``longest`` seconds.
        """
        try:
            return await step()
        except Unready as fault:
            return await self.repeat(step, fault, longest)

    async def repeat(
        self, step: Callable[[], Awaitable[Result]], fault: Unready, longest: float = LONGEST_RETRY
    ) -> Result:
        """Repeat ``step`` that has failed once with ``fault``.

        Raises:
            Unready: as ``run``.
        """
        self._repeating += 1
        try:
            return await self._repeat(step, fault, longest)
        finally:
            self._repeating -= 1
            self._until = self._clock.monotonic()

    async def _repeat(self, step: Callable[[], Awaitable[Result]], fault: Unready, longest: float) -> Result:
        until = self._clock.monotonic() + longest
        while self._clock.monotonic() < until:
            _log.debug("backend.retrying", error=str(fault))
            await self._clock.sleep(PAUSE)
            try:
                return await step()
            except Unready as again:
                fault = again
        raise fault


class RetryingOutbox:
    """An ``Outbox`` that repeats each publish while RabbitMQ is away, for ``longest`` seconds.

    Each method awaits the broker directly on the good path: one more coroutine would cost every message.
    """

    def __init__(self, outbox: Outbox, *, retry: UnreadyRetry, longest: float = LONGEST_RETRY) -> None:
        self._outbox = outbox
        self._retry = retry
        self._longest = longest

    def within(self, seconds: float) -> "RetryingOutbox":
        """The same outbox for steps that are repeated for ``seconds`` at most."""
        return RetryingOutbox(self._outbox, retry=self._retry, longest=seconds)

    async def park(self, parked: Parked) -> None:
        """As ``Outbox.park``."""
        try:
            await self._outbox.park(parked)
        except Unready as fault:
            await self._retry.repeat(partial(self._outbox.park, parked), fault, self._longest)

    async def bury(self, letter: DeadLetter) -> None:
        """As ``Outbox.bury``."""
        try:
            await self._outbox.bury(letter)
        except Unready as fault:
            await self._retry.repeat(partial(self._outbox.bury, letter), fault, self._longest)


class RetryingLedger:
    """The ``Ledger`` and ``BatchTracker`` for all writes but those of a send; repeats each while Redis is away.

    ``admit`` and ``begin`` are not here: ``Notifications`` repeats an attempt as a whole, so that a claim whose lease
    ran out meanwhile is asked for again. ``renew`` is not here either: ``LeaseKeeper`` comes back to it anyway.
    """

    def __init__(
        self,
        ledger: Ledger,
        batches: BatchTracker,
        *,
        retry: UnreadyRetry,
        drain: Drain,
        longest: float = LONGEST_RETRY,
    ) -> None:
        self._ledger = ledger
        self._batches = batches
        self._retry = retry
        self._drain = drain
        self._longest = longest

    def within(self, seconds: float) -> "RetryingLedger":
        """The same ledger for steps that are repeated for ``seconds`` at most."""
        return RetryingLedger(self._ledger, self._batches, retry=self._retry, drain=self._drain, longest=seconds)

    async def register(self, batch_id: str, size: int, key: Key) -> None:
        """As ``BatchTracker.register``."""
        try:
            await self._batches.register(batch_id, size, key)
        except Unready as fault:
            await self._retry.repeat(partial(self._batches.register, batch_id, size, key), fault, self._longest)

    async def claim(self, key: Key, token: str, attempt: int, *, replays: int, alone: bool = True) -> ClaimReply:
        """As ``Ledger.claim``, at each try only while there is time for the work that a claim begins.

        Raises:
            Draining: the process stops too soon for that work.
        """
        self._drain.check()
        try:
            return await self._ledger.claim(key, token, attempt, replays=replays, alone=alone)
        except Unready as fault:
            claim = partial(self._claim_in_time, key, token, attempt, replays=replays, alone=alone)
            return await self._retry.repeat(claim, fault, self._longest)

    async def _claim_in_time(self, key: Key, token: str, attempt: int, *, replays: int, alone: bool) -> ClaimReply:
        self._drain.check()
        return await self._ledger.claim(key, token, attempt, replays=replays, alone=alone)

    async def finish(
        self, claim: Claim, final: TerminalState, report: AttemptReport | None = None, unit: UnitEnd | None = None
    ) -> WriteResult:
        """As ``Ledger.finish``."""
        try:
            return await self._ledger.finish(claim, final, report, unit)
        except Unready as fault:
            finish = partial(self._ledger.finish, claim, final, report, unit)
            return await self._retry.repeat(finish, fault, self._longest)

    async def release(
        self,
        claim: Claim,
        attempt: int,
        *,
        delay: float = 0.0,
        report: AttemptReport | None = None,
        unit: UnitEnd | None = None,
        entry: str = "",
    ) -> WriteResult:
        """As ``Ledger.release``."""
        release = partial(self._ledger.release, claim, attempt, delay=delay, report=report, unit=unit, entry=entry)
        return await self._retry.run(release, self._longest)

    async def note_deferral(self, key: Key, entry: str, *, delay: float) -> None:
        """As ``Ledger.note_deferral``, once: its message is parked already, and nothing is decided by a story."""
        try:
            await self._ledger.note_deferral(key, entry, delay=delay)
        except Exception as fault:  # noqa: BLE001 - whatever it is, a failed step would park a second copy
            _log.debug("story.gap", id=key.id, error=str(fault))

    async def keep_withheld(self, key: Key, destination_id: str, message: bytes) -> None:
        """As ``Ledger.keep_withheld``."""
        await self._retry.run(partial(self._ledger.keep_withheld, key, destination_id, message), self._longest)

    async def note(self, key: Key, final: TerminalState) -> None:
        """As ``Ledger.note``."""
        try:
            await self._ledger.note(key, final)
        except Unready as fault:
            await self._retry.repeat(partial(self._ledger.note, key, final), fault, self._longest)
