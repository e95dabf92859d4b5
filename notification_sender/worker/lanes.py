"""The lanes of one process: each delivery becomes a task of ours, gets a slot, is handled, and then acked."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog

from notification_sender.model.errors import Unready
from notification_sender.ports import Clock, DeadLetter, Envelope, Intake, Lane, Outbox, Parked
from notification_sender.telemetry.metrics import Metrics
from notification_sender.worker.drain import Drain, Draining
from notification_sender.worker.readiness import Readiness
from notification_sender.worker.slots import Slots

Handler = Callable[[Envelope], Awaitable[float | None]]
"""Handles one delivery: None when it is settled, or the seconds after which it asks again."""

AGAIN = 30.0
"""Seconds that a delivery is parked for which this process found no way: our store away too long, or a bug."""

BUGS = 5
"""So often a message may meet an error that nobody foresaw, as with leases that run out; then it is dead."""

MOST_UNSETTLED = 2000
"""What a quorum queue allows one consumer."""

SLEEP_AT_MOST = 1.0
"""Seconds: the ladder leaves less than one to sleep, whatever another pod's clock says."""

STOPPING = 2.0
"""Seconds that a broker gets to cancel our consumers: one that hangs must not use up the grace."""

_log = structlog.get_logger()


class Lanes:
    """Takes envelopes and settles them; ``handlers`` do the work."""

    def __init__(
        self,
        *,
        intake: Intake,
        outbox: Outbox,
        handlers: Mapping[Lane, Handler],
        slots: Slots,
        readiness: Readiness,
        drain: Drain,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._intake = intake
        self._outbox = outbox
        self._handlers = handlers
        self._slots = slots
        self._readiness = readiness
        self._drain = drain
        self._clock = clock
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[Lane, dict[asyncio.Task[None], None]] = {lane: {} for lane in Lane}
        self._prefetch = 0

    @property
    def in_hand(self) -> int:
        """Deliveries taken and not yet settled."""
        return len(self._tasks)

    async def open(self, concurrency: int) -> None:
        """Take from every lane; a few more than there are slots, so that a freed slot finds work waiting."""
        self._prefetch = min(2 * concurrency, MOST_UNSETTLED)
        for lane in Lane:
            consume = partial(self._intake.consume, lane, self._prefetch, self._take)
            await self._readiness.keep(consume, longest=math.inf)

    def _take(self, envelope: Envelope) -> None:
        # Our own task: one that belongs to the connection would be cancelled with it, in the middle of a send.
        task = asyncio.get_running_loop().create_task(self._run(envelope))
        waiting = self._waiting[envelope.lane]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        waiting[task] = None
        if len(waiting) > self._prefetch:
            # More than the broker has given us: the oldest came by a connection that is gone, and comes again.
            oldest = next(iter(waiting))
            del waiting[oldest]
            oldest.cancel()

    async def _run(self, envelope: Envelope) -> None:
        try:
            await self._handle(envelope)
        except (asyncio.CancelledError, Draining):
            await self._intake.give_back(envelope)
        except Unready as fault:
            await self._put_off(envelope, f"still unready: {fault}", envelope.bugs)
        except Exception as fault:  # noqa: BLE001 - a bug in one delivery must not stop the others
            self._metrics.bugs.labels(envelope.lane.value).inc()
            _log.exception("delivery.unexpected", lane=envelope.lane.value)
            await self._put_off(envelope, f"unexpected: {fault!r}", envelope.bugs + 1)
        else:
            await self._intake.ack(envelope)

    async def _handle(self, envelope: Envelope) -> None:
        wait: float | None = envelope.due - self._clock.now()
        waiting, task = self._waiting[envelope.lane], asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: this is a coroutine
        try:
            while wait is not None:
                waiting[task] = None
                if wait > 0:
                    await self._clock.sleep(min(wait, SLEEP_AT_MOST))
                await self._slots.take(envelope.lane)
                waiting.pop(task, None)
                wait = await self._work(envelope)
        finally:
            waiting.pop(task, None)

    async def _work(self, envelope: Envelope) -> float | None:
        try:
            if self._drain.asked:
                raise Draining
            return await self._handlers[envelope.lane](envelope)
        finally:
            self._slots.give(envelope.lane)

    async def _put_off(self, envelope: Envelope, why: str, bugs: int) -> None:
        """The same message later, or dead; then ack. Where even that fails the broker keeps it, and gives it again."""
        try:
            if bugs >= BUGS:
                await self._outbox.bury(
                    DeadLetter(envelope.body, "crashed", why, envelope.lane.value, envelope.first_seen)
                )
            else:
                await self._outbox.park(_later(envelope, bugs))
        except Unready as fault:
            _log.warning("delivery.left_to_broker", lane=envelope.lane.value, error=str(fault))
            await self._intake.give_back(envelope)
        else:
            _log.warning("delivery.put_off", lane=envelope.lane.value, why=why, bugs=bugs)
            await self._intake.ack(envelope)

    async def close(self, grace: float) -> None:
        """Take no more, give back what has no slot, let the rest finish; all of it within ``grace`` seconds."""
        deadline = self._clock.monotonic() + grace
        stopping = asyncio.create_task(self._intake.stop())
        await asyncio.wait({stopping}, timeout=min(STOPPING, grace))
        # Not before: what is given back while we still consume would be ours again at once.
        self._drain.begin(deadline)
        for waiting in self._waiting.values():
            for task in list(waiting):
                task.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=max(0.0, deadline - self._clock.monotonic()))
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)


def _later(envelope: Envelope, bugs: int) -> Parked:
    return Parked(
        envelope.lane,
        envelope.body,
        AGAIN,
        envelope.first_seen,
        envelope.attempt,
        envelope.misses,
        envelope.replayed,
        bugs,
    )
