"""The lanes of one process: a delivery waits for a slot, is handled in a task of ours, and then acked."""

import asyncio
import math
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import structlog

from notification_sender.model.errors import Unready
from notification_sender.ports import Clock, DeadLetter, Envelope, Intake, Lane, Outbox, Parked
from notification_sender.telemetry.metrics import Metrics
from notification_sender.worker.drain import Drain, Draining
from notification_sender.worker.readiness import LONGEST, Readiness
from notification_sender.worker.slots import Slots

Handler = Callable[[Envelope], Awaitable[float | None]]
"""Handles one delivery: None when it is settled, or the seconds after which it asks again."""

AGAIN = 30.0
"""Seconds that a delivery is parked for which this process found no way: our store away too long, or a bug."""

BUGS = 5
"""So often a message may meet an error that nobody foresaw, as with leases that run out; then it is dead."""

MOST_UNSETTLED = 2000
"""What a quorum queue allows one consumer."""

RESTING = 100
"""Notifications more that are taken: what comes out of the ladder rests for half a second, and must keep nobody out."""

SLEEP_AT_MOST = 1.0
"""Seconds: the ladder leaves less than one to sleep, whatever another pod's clock says."""

LOOK = 10.0
"""Seconds between two looks for deliveries that have waited in hand for too long."""

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
        self._prefetch = dict.fromkeys(Lane, 0)
        self._waiting: dict[Lane, deque[tuple[float, Envelope]]] = {lane: deque() for lane in Lane}
        """Taken then, on the monotonic clock."""
        self._working: set[asyncio.Task[None]] = set()
        self._resting: set[asyncio.Task[None]] = set()
        """Sleeping what is left of a wait, or on the way back to the queue: none of these holds a slot."""

    @property
    def in_hand(self) -> int:
        """Deliveries taken and not yet settled."""
        return len(self._working) + len(self._resting) + sum(map(len, self._waiting.values()))

    async def open(self, concurrency: int) -> None:
        """Take from every lane; a few more than there are slots, so that a freed slot finds work waiting."""
        for lane in Lane:
            resting = RESTING if lane is Lane.NOTIFICATIONS else 0
            self._prefetch[lane] = min(2 * concurrency + resting, MOST_UNSETTLED)
            consume = partial(self._intake.consume, lane, self._prefetch[lane], self._take)
            await self._readiness.keep(consume, longest=math.inf)

    def _take(self, envelope: Envelope) -> None:
        early = envelope.due - self._clock.now()
        if early > 0:
            self._start(self._resting, self._rest(envelope, early))
        else:
            self._queue(envelope)

    async def _rest(self, envelope: Envelope, seconds: float) -> None:
        try:
            await self._clock.sleep(min(seconds, SLEEP_AT_MOST))
        except asyncio.CancelledError:
            await self._intake.give_back(envelope)
        else:
            self._queue(envelope)

    def _queue(self, envelope: Envelope) -> None:
        waiting = self._waiting[envelope.lane]
        waiting.append((self._clock.monotonic(), envelope))
        if self._drain.asked or len(waiting) > self._prefetch[envelope.lane]:
            # More than the broker has given us: the oldest came by a connection that is gone, and comes again.
            self._start(self._resting, self._intake.give_back(waiting.popleft()[1]))
        self.begin()

    async def put_off_late(self) -> None:
        """To be run beside the work: what waited in hand too long, because our own platform is out, waits elsewhere.

        A broker closes the channel of whoever keeps a message for half an hour, and with it all that is in hand.
        """
        while True:
            await self._clock.sleep(LOOK)
            late = self._clock.monotonic() - LONGEST
            for waiting in self._waiting.values():
                while waiting and waiting[0][0] < late:
                    _, envelope = waiting.popleft()
                    self._start(self._resting, self._put_off(envelope, "no slot for it yet", envelope.bugs))

    def begin(self) -> None:
        """Work on what waits, as far as there are slots for it."""
        while lane := self._slots.take([lane for lane, waiting in self._waiting.items() if waiting]):
            # Our own task: one that belongs to the connection would be cancelled with it, in the middle of a send.
            self._start(self._working, self._run(self._waiting[lane].popleft()[1]))

    def _start(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _run(self, envelope: Envelope) -> None:
        try:
            await self._handle(envelope)
        except (asyncio.CancelledError, Draining):
            await self._intake.give_back(envelope)
        except Unready as fault:
            await self._put_off(envelope, f"still unready: {fault}", envelope.bugs)
        except Exception as fault:  # noqa: BLE001 - a bug in one delivery must not stop the others
            self._metrics.bugs.labels(envelope.lane.value).inc()
            # Not its words: they may be the content of the message.
            where = "".join(traceback.format_tb(fault.__traceback__))
            _log.error("delivery.unexpected", lane=envelope.lane.value, error=type(fault).__name__, where=where)
            await self._put_off(envelope, f"unexpected: {type(fault).__name__}", envelope.bugs + 1)
        finally:
            self._slots.give(envelope.lane)
            self.begin()

    async def _handle(self, envelope: Envelope) -> None:
        again = await self._handlers[envelope.lane](envelope)
        if again is None:
            await self._intake.ack(envelope)
        else:
            self._start(self._resting, self._rest(envelope, again))

    async def _put_off(self, envelope: Envelope, why: str, bugs: int) -> None:
        """The same message later, or dead; then ack. Where even that fails the broker keeps it, and gives it again."""
        try:
            if bugs >= BUGS:
                await self._outbox.bury(_letter(envelope, why))
            else:
                await self._outbox.park(_later(envelope, bugs))
        except Unready as fault:
            _log.warning("delivery.left_to_broker", lane=envelope.lane.value, error=str(fault))
            await self._intake.give_back(envelope)
        else:
            _log.warning("delivery.put_off", lane=envelope.lane.value, why=why, bugs=bugs)
            await self._intake.ack(envelope)

    async def close(self, grace: float) -> None:
        """Take no more, give back what has no slot, let the rest finish; all of it within ``grace`` seconds.

        Whoever cancels this has no time: what is being done is cut off and given back at once.
        """
        deadline = self._clock.monotonic() + grace
        stopping = asyncio.create_task(self._intake.stop())
        try:
            await asyncio.wait({stopping}, timeout=min(STOPPING, grace))
            # Not before: what is given back while we still consume would be ours again at once.
            self._drain.begin(deadline)
            self._give_back_waiting()
            while (left := self._working | self._resting) and (time := deadline - self._clock.monotonic()) > 0:
                await asyncio.wait(left, timeout=time)
        finally:
            await self._cut_off(stopping)

    async def _cut_off(self, stopping: asyncio.Task[None]) -> None:
        self._drain.begin(self._clock.monotonic())
        late = [*self._working, *self._resting, stopping]
        for task in late:
            task.cancel()
        self._give_back_waiting()
        await asyncio.gather(*late, *self._resting, return_exceptions=True)

    def _give_back_waiting(self) -> None:
        for task in self._resting:
            task.cancel()
        for waiting in self._waiting.values():
            while waiting:
                self._start(self._resting, self._intake.give_back(waiting.popleft()[1]))


def _letter(envelope: Envelope, why: str) -> DeadLetter:
    return DeadLetter(
        envelope.body,
        "crashed",
        why,
        envelope.lane.value,
        envelope.first_seen,
        envelope.replays,
    )


def _later(envelope: Envelope, bugs: int) -> Parked:
    return Parked(
        envelope.lane,
        envelope.body,
        AGAIN,
        envelope.first_seen,
        envelope.attempt,
        envelope.misses,
        envelope.replays,
        bugs,
    )
