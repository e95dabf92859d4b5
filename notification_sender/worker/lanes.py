"""The lanes of one process: a delivery waits for a slot, is handled in a task of its own, and then acked."""

import asyncio
import math
from collections import deque
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from notification_sender.adapters.rabbitmq.delay_ladder import SPARE
from notification_sender.model.errors import Unready
from notification_sender.ports.broker import Envelope, Intake, Lane, Outbox
from notification_sender.ports.clock import Clock
from notification_sender.telemetry.metrics import Metrics
from notification_sender.telemetry.steps import QUEUE_WAIT, UNEXPECTED, UNREADY, SlotSteps, StepClock
from notification_sender.worker.bulkheads import Slots
from notification_sender.worker.drain import Drain, Draining
from notification_sender.worker.handled import SHORT_WAIT, AskAgain, Handler, Settled
from notification_sender.worker.prefetch import prefetch
from notification_sender.worker.rescheduler import Rescheduler
from notification_sender.worker.retry_unready import LONGEST_RETRY, UnreadyRetry
from notification_sender.worker.waiting import BETWEEN_CONSUMERS, Crowd, Waiting

SLEEP_AT_MOST = 1.0 + SPARE
"""Seconds. The ladder leaves less than that to wait; only a wrong clock of another pod asks for more."""

LATE_CHECK_SECONDS = 10.0
"""Time between two checks for deliveries that have waited for a slot for too long."""

CANCEL_SECONDS = 2.0
"""Time for the broker to cancel our consumers: one that hangs must not use up the grace."""

SUBSCRIBE_SECONDS = 10.0
"""Time for all lanes to be subscribed before the first delivery is worked on: on a slow processor that work would delay
the broker's answers. A lane that cannot be subscribed holds up the others no longer."""

_log = structlog.get_logger()


class Lanes:
    """Takes deliveries, gives each a slot and a task, and acks it when its handler has settled it."""

    def __init__(
        self,
        *,
        intake: Intake,
        outbox: Outbox,
        handlers: Mapping[Lane, Handler],
        slots: Slots,
        retry: UnreadyRetry,
        drain: Drain,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._intake = intake
        self._handlers = handlers
        self._slots = slots
        self._room = slots.room
        self._room.open(self._called, intake.holds)
        self._later = Rescheduler(intake, outbox)
        self._retry = retry
        self._drain = drain
        self._clock = clock
        self._metrics = metrics
        self.steps = StepClock(clock)
        """Where the time of the slots goes."""
        metrics.slot_seconds.follow(self.steps.slot_seconds)
        metrics.slots.follow(self.steps.slots)
        self._begun = self._ending = False
        self._taken = 0
        self.arrived = 0  # work units that do not come out of the ladder
        self._prefetch = dict.fromkeys(Lane, 0)
        """The largest so far: a lane in which more deliveries wait holds some of a lost connection."""
        self._waiting: dict[Lane, deque[tuple[float, Envelope, SlotSteps | None]]] = {lane: deque() for lane in Lane}
        """With the time at which each was taken, on the monotonic clock, and its steps if it had a slot before."""
        self._crowd = Crowd()
        self._fitting: set[asyncio.Task[None]] = set()
        self._working: set[asyncio.Task[None]] = set()
        self._resting: set[asyncio.Task[None]] = set()
        """Deliveries that wait for the rest of a delay, or go back to their queue. None of them holds a slot."""

    @property
    def unsettled(self) -> int:
        """Deliveries taken and not yet settled."""
        return len(self._working) + len(self._resting) + len(self._room) + sum(map(len, self._waiting.values()))

    @property
    def without_slot(self) -> list[float]:
        """When each delivery was taken that waits for a slot, on the monotonic clock."""
        return [taken for waiting in self._waiting.values() for taken, *_ in waiting]

    async def open(self, concurrency: int) -> None:
        """Take from every lane, twice as many as there are slots, so that a freed slot finds work waiting."""
        self._taken = 2 * concurrency
        self._prefetch = {lane: prefetch(lane, self._taken) for lane in Lane}
        opening = [asyncio.create_task(self._consume(lane)) for lane in Lane]
        try:
            await asyncio.wait(opening, timeout=SUBSCRIBE_SECONDS)
            self._begun = True
            self.begin()
            await asyncio.gather(*opening)
        finally:
            for task in opening:
                task.cancel()

    async def _consume(self, lane: Lane) -> None:
        consume = partial(self._intake.consume, lane, self._prefetch[lane], self._take)
        await self._retry.run(consume, longest=math.inf)

    def allow(self, limit: int, *, taken: int) -> None:
        """Work on ``limit`` deliveries at once from now on, take ``taken`` of each lane; begun work ends as usual."""
        if limit != self._slots.total:
            self._slots.total = limit
            self.begin()
        if self._begun and taken != self._taken and not (self._fitting or self._ending):
            self._taken = taken
            self._start(self._fitting, self._fit(taken))

    async def _fit(self, taken: int) -> None:
        """While the broker is away, its adapter keeps the new figure and subscribes with it later."""
        for lane in Lane:
            await self._subscribe(lane, taken)
            waiting = self._waiting[lane]
            while len(waiting) > taken:
                self._start(self._resting, self._intake.give_back(waiting.pop()[1]))
        _log.info("lanes.fitted", taken=taken)

    async def _subscribe(self, lane: Lane, taken: int) -> None:
        self._crowd.subscribed(lane)
        try:
            await self._intake.consume(lane, prefetch(lane, taken), self._take)
        except Unready as fault:
            _log.debug("lane.not_fitted", lane=lane.value, error=str(fault))

    async def _replace(self, lane: Lane) -> None:
        """With a pause, so that a fault of the rule above cannot make the broker work for nothing all the time."""
        await self._subscribe(lane, self._taken)
        await self._clock.sleep(BETWEEN_CONSUMERS)

    def _take(self, envelope: Envelope) -> None:
        if not envelope.due and envelope.lane is Lane.UNITS:
            self.arrived += 1
        if envelope.due and (early := envelope.due - self._clock.now()) > 0:
            self._start(self._resting, self._rest(envelope, early))
        else:
            self._queue(envelope)

    async def _rest(
        self, envelope: Envelope, seconds: float, steps: SlotSteps | None = None, *, first: bool = False
    ) -> None:
        try:
            await self._clock.sleep(min(seconds, SLEEP_AT_MOST))
        except asyncio.CancelledError:
            await self._intake.give_back(envelope)
        else:
            self._queue(envelope, steps, first=first)

    def _called(self, envelope: Envelope, steps: SlotSteps, seconds: float) -> None:
        """Before all others, because its share is not used until then."""
        if not self._intake.holds(envelope):
            self._start(self._resting, self._intake.give_back(envelope))
        elif seconds:
            self._start(self._resting, self._rest(envelope, seconds, steps, first=True))
        else:
            self._queue(envelope, steps, first=True)

    def _queue(self, envelope: Envelope, steps: SlotSteps | None = None, *, first: bool = False) -> None:
        if steps is not None:
            steps.enter(QUEUE_WAIT)
        waiting = self._waiting[envelope.lane]
        (waiting.appendleft if first else waiting.append)((self._clock.monotonic(), envelope, steps))
        if self._drain.begun or len(waiting) > self._prefetch[envelope.lane]:
            # More than the broker lets us hold: the oldest came by a lost connection, and is delivered again. What was
            # called keeps its place, and the latest goes back instead.
            extra = waiting.pop() if first else waiting.popleft()
            self._start(self._resting, self._intake.give_back(extra[1]))
        self.begin()

    async def put_off_late(self) -> None:
        """Run in the background: park each delivery that has waited for a slot too long, as while our platform is out.

        RabbitMQ closes the channel of a consumer that keeps a message for 30 minutes, and with it all deliveries.
        """
        while True:
            await self._clock.sleep(LATE_CHECK_SECONDS)
            late = self._clock.monotonic() - LONGEST_RETRY
            for waiting in self._waiting.values():
                while waiting and waiting[0][0] < late:
                    taken, envelope, steps = waiting.popleft()
                    wait = steps.unreported(QUEUE_WAIT) if steps else self.steps.unreported(envelope, taken)
                    self._start(self._resting, self._later.put_off(envelope, "no slot yet", envelope.state, wait))

    def begin(self) -> None:
        """Work on waiting deliveries while there are slots."""
        while self._begun and self._slots.free > 0:
            lane = self._slots.take([lane for lane, waiting in self._waiting.items() if waiting])
            if lane is None:
                break
            # A task of our own: one of the connection would be cancelled with it, in the middle of a send.
            self._start(self._working, self._run(*self._waiting[lane].popleft()))
        for lane in self._crowd.lanes:
            if not (self._waiting[lane] or self._fitting or self._ending) and self._crowd.is_large(lane, self._taken):
                self._start(self._fitting, self._replace(lane))

    def _start(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        if tasks is self._fitting:
            # Meanwhile another lane may have become crowded, or the same one once more.
            task.add_done_callback(lambda _: self.begin())

    async def _run(self, taken: float, envelope: Envelope, steps: SlotSteps | None) -> None:
        steps, wait = self.steps.take(envelope, taken, steps), QUEUE_WAIT
        if steps.trace is not None:
            envelope = replace(envelope, state=replace(envelope.state, trace=steps.trace.carried()))
        try:
            match await self._handlers[envelope.lane](envelope):
                case Settled():
                    await self._intake.ack(envelope)
                case AskAgain(delay, wait):
                    await self._ask_again(envelope, delay, steps)
                case Waiting(step=wait) as place:
                    await self._wait(place, envelope, steps)
        except (asyncio.CancelledError, Draining):
            self.steps.broke_off(steps, "given_back")
            await self._intake.give_back(envelope)
        except Unready as fault:
            self.steps.broke_off(steps, "unready")
            await self._later.put_off(envelope, f"still unready: {fault}", envelope.state, steps.unreported(UNREADY))
        except Exception as fault:  # noqa: BLE001 - a bug in one delivery must not stop the others
            self._metrics.bugs.labels(envelope.lane.value).inc()
            self.steps.broke_off(steps, "unexpected_error")
            await self._later.put_off_for_bug(envelope, fault, steps.unreported(UNEXPECTED))
        finally:
            self.steps.give(steps, wait)
            self._slots.give(envelope.lane)
            self.begin()

    async def _ask_again(self, envelope: Envelope, delay: float, steps: SlotSteps) -> None:
        if self._crowd.asking[envelope.lane] < self._taken:
            self._crowd.asking[envelope.lane] += 1
            self._start(self._resting, self._ask(envelope, delay, steps))
            return  # more than the consumer may take are parked: they would keep all others out
        await self._later.park(envelope, envelope.state, steps.unreported(QUEUE_WAIT), SHORT_WAIT)
        await self._intake.ack(envelope)

    async def _ask(self, envelope: Envelope, delay: float, steps: SlotSteps) -> None:
        try:
            await self._rest(envelope, delay, steps)
        finally:
            self._crowd.asking[envelope.lane] -= 1

    async def _wait(self, place: Waiting, envelope: Envelope, steps: SlotSteps) -> None:
        if self._drain.begun:
            await self._intake.give_back(envelope)
            return
        self._room.enter(place, envelope, steps, now=self._clock.monotonic())
        self._crowd.entered(envelope)

    async def close(self, grace: float) -> None:
        """Take no more, requeue deliveries without a slot, let the rest finish, all within ``grace`` seconds.

        Cancelled, it cuts off all work and requeues it at once.
        """
        deadline = self._clock.monotonic() + grace
        self._ending = True
        if self._fitting:
            # Else a lane that was stopped could be subscribed again.
            await asyncio.wait(self._fitting, timeout=min(CANCEL_SECONDS, grace))
        stopping = asyncio.create_task(self._intake.stop())
        try:
            await asyncio.wait({stopping}, timeout=min(CANCEL_SECONDS, grace))
            # Not before: a delivery requeued while we still consume would come back at once.
            self._drain.begin(deadline)
            self._give_back_waiting()
            while (left := self._working | self._resting) and (time := deadline - self._clock.monotonic()) > 0:
                await asyncio.wait(left, timeout=time)
        finally:
            await self._cut_off(stopping)

    async def _cut_off(self, stopping: asyncio.Task[None]) -> None:
        self._drain.begin(self._clock.monotonic())
        late = [*self._fitting, *self._working, *self._resting, stopping]
        for task in late:
            task.cancel()
        self._give_back_waiting()
        await asyncio.gather(*late, *self._resting, return_exceptions=True)

    def _give_back_waiting(self) -> None:
        for task in self._resting:
            task.cancel()
        for envelope in self._room.empty():
            self._start(self._resting, self._intake.give_back(envelope))
        for waiting in self._waiting.values():
            while waiting:
                self._start(self._resting, self._intake.give_back(waiting.popleft()[1]))
