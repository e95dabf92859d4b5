"""The embedded default: a broker inside this process, behind the same ports as RabbitMQ. It keeps nothing."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from notification_sender.adapters.messages import envelope, letter_headers, parked_headers
from notification_sender.policy.ladder import whole_seconds
from notification_sender.ports import Clock, DeadLetter, Envelope, Lane, Parked

EVENTS = 10_000
"""Events that are kept to be looked at."""


@dataclass(frozen=True, slots=True)
class Message:
    """As it lies in a queue."""

    body: bytes
    headers: Mapping[str, Any]


@dataclass(slots=True)
class _Queue:
    waiting: deque[Message] = field(default_factory=deque)
    unsettled: dict[object, Message] = field(default_factory=dict)
    prefetch: int = 0
    take: Callable[[Envelope], None] | None = None


class MemoryBroker:
    """Intake, Outbox and Events. ``dead`` is where the dead letters are, ``events`` the last events by topic."""

    def __init__(self, *, clock: Clock) -> None:
        self.dead: list[Message] = []
        self.events: deque[tuple[str, bytes]] = deque(maxlen=EVENTS)
        self._clock = clock
        self._queues = {lane: _Queue() for lane in Lane}
        self._delayed: list[tuple[float, int, Lane, Message]] = []
        self._timer: asyncio.Task[None] | None = None
        self._numbers = count()

    @property
    def ready(self) -> bool:
        """It is never away."""
        return True

    async def wait_ready(self) -> None:
        """There is nothing to wait for."""

    async def connect(self) -> None:
        """There is nothing to connect to."""

    async def close(self) -> None:
        """What is still unsettled goes back to its queue, in its order."""
        await self.stop()
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.wait([self._timer])
            self._timer = None
        for queue in self._queues.values():
            queue.waiting.extendleft(reversed(queue.unsettled.values()))
            queue.unsettled.clear()

    # --- intake -------------------------------------------------------------------------------------------

    async def consume(self, lane: Lane, prefetch: int, take: Callable[[Envelope], None]) -> None:
        """Hand every delivery of ``lane`` to ``take``, at most ``prefetch`` unsettled."""
        queue = self._queues[lane]
        queue.prefetch, queue.take = prefetch, take
        self._hand_out_soon(lane)

    async def stop(self) -> None:
        """Take no more; what was taken can still be settled."""
        for queue in self._queues.values():
            queue.take = None

    async def ack(self, envelope: Envelope) -> None:
        self._queues[envelope.lane].unsettled.pop(envelope.tag, None)
        self._hand_out_soon(envelope.lane)

    async def give_back(self, envelope: Envelope) -> None:
        """To the front of its queue."""
        queue = self._queues[envelope.lane]
        message = queue.unsettled.pop(envelope.tag, None)
        if message is not None:
            queue.waiting.appendleft(message)
            self._hand_out_soon(envelope.lane)

    # --- outbox -------------------------------------------------------------------------------------------

    async def park(self, parked: Parked) -> None:
        """As in the ladder: whole seconds are waited for here, the rest by whoever takes it."""
        message = Message(parked.body, parked_headers(parked, self._clock.now()))
        seconds = whole_seconds(parked.delay)
        if seconds == 0:
            self._put(parked.lane, message)
            return
        due = self._clock.monotonic() + seconds
        heapq.heappush(self._delayed, (due, next(self._numbers), parked.lane, message))
        if self._delayed[0][0] == due:
            self._wind_timer()

    async def bury(self, letter: DeadLetter) -> None:
        self.dead.append(Message(letter.body, letter_headers(letter)))

    def tell(self, topic: str, event: bytes) -> None:
        self.events.append((topic, event))

    async def publish(self, body: bytes, headers: Mapping[str, Any] | None = None, lane: Lane = Lane.UNITS) -> None:
        """As a publisher does, or an operator who moves a dead letter back."""
        self._put(lane, Message(body, headers or {}))

    async def depth(self, lane: Lane) -> int:
        """How many messages are ready in its queue, not counting what is in somebody's hands."""
        return len(self._queues[lane].waiting)

    async def dead_depth(self) -> int:
        """How many dead letters there are."""
        return len(self.dead)

    def _put(self, lane: Lane, message: Message) -> None:
        self._queues[lane].waiting.append(message)
        self._hand_out_soon(lane)

    def _hand_out_soon(self, lane: Lane) -> None:
        # Not at once: whoever publishes or acks must not find itself inside the taker.
        asyncio.get_running_loop().call_soon(self._hand_out, lane)

    def _hand_out(self, lane: Lane) -> None:
        queue = self._queues[lane]
        while queue.take is not None and queue.waiting and len(queue.unsettled) < queue.prefetch:
            message, tag = queue.waiting.popleft(), next(self._numbers)
            queue.unsettled[tag] = message
            queue.take(envelope(lane, message.body, message.headers, tag, self._clock.now()))

    def _wind_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.create_task(self._let_out(), name="memory broker delays")

    async def _let_out(self) -> None:
        while self._delayed:
            remaining = self._delayed[0][0] - self._clock.monotonic()
            if remaining > 0:
                await self._clock.sleep(remaining)
                continue
            _, _, lane, message = heapq.heappop(self._delayed)
            self._put(lane, message)
