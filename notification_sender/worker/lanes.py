"""The lanes of one process: each delivery becomes a task of ours, gets a slot, is handled, and then acked."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog

from notification_sender.model.errors import Unready
from notification_sender.ports import Clock, Envelope, Intake, Lane, Outbox, Parked
from notification_sender.telemetry.metrics import Metrics
from notification_sender.worker.drain import Drain, Draining
from notification_sender.worker.readiness import Readiness
from notification_sender.worker.slots import Slots

Handler = Callable[[Envelope], Awaitable[float | None]]
"""Handles one delivery: None when it is settled, or the seconds after which it asks again."""

AGAIN = 30.0
"""Seconds that a delivery is parked for which this process found no way: our store away too long, or a bug."""

MOST_UNSETTLED = 2000
"""What a quorum queue allows one consumer."""

SLEEP_AT_MOST = 1.0
"""Seconds: the ladder leaves less than one to sleep, whatever another pod's clock says."""

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

    @property
    def in_hand(self) -> int:
        """Deliveries taken and not yet settled."""
        return len(self._tasks)

    async def open(self, concurrency: int) -> None:
        """Take from every lane; a few more than there are slots, so that a freed slot finds work waiting."""
        prefetch = min(2 * concurrency, MOST_UNSETTLED)
        for lane in Lane:
            await self._readiness.keep(partial(self._intake.consume, lane, prefetch, self._take))

    def _take(self, envelope: Envelope) -> None:
        # Our own task: one that belongs to the connection would be cancelled with it, in the middle of a send.
        task = asyncio.get_running_loop().create_task(self._run(envelope))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, envelope: Envelope) -> None:
        try:
            await self._handle(envelope)
        except (asyncio.CancelledError, Draining):
            await self._intake.give_back(envelope)
        except Unready as fault:
            await self._put_off(envelope, f"still unready: {fault}")
        except Exception as fault:  # noqa: BLE001 - a bug in one delivery must not stop the others
            self._metrics.bugs.labels(envelope.lane.value).inc()
            _log.exception("delivery.unexpected", lane=envelope.lane.value)
            await self._put_off(envelope, f"unexpected: {fault!r}")
        else:
            await self._intake.ack(envelope)

    async def _handle(self, envelope: Envelope) -> None:
        wait: float | None = envelope.due - self._clock.now()
        while wait is not None:
            if wait > 0:
                await self._clock.sleep(min(wait, SLEEP_AT_MOST))
            wait = await self._in_slot(envelope)

    async def _in_slot(self, envelope: Envelope) -> float | None:
        await self._slots.take(envelope.lane)
        try:
            if self._drain.asked:
                raise Draining
            return await self._handlers[envelope.lane](envelope)
        finally:
            self._slots.give(envelope.lane)

    async def _put_off(self, envelope: Envelope, why: str) -> None:
        """The same message later, then ack; where even that fails it stays with the broker, which gives it again."""
        parked = Parked(
            envelope.lane,
            envelope.body,
            AGAIN,
            envelope.first_seen,
            envelope.attempt,
            envelope.misses,
            envelope.replayed,
        )
        try:
            await self._outbox.park(parked)
        except Unready as fault:
            _log.warning("delivery.left_to_broker", lane=envelope.lane.value, error=str(fault))
            await self._intake.give_back(envelope)
        else:
            _log.warning("delivery.put_off", lane=envelope.lane.value, why=why, seconds=AGAIN)
            await self._intake.ack(envelope)

    async def close(self, grace: float) -> None:
        """Take no more, give back what has not begun, let the rest finish within ``grace`` seconds."""
        self._drain.begin(grace)
        await self._intake.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
