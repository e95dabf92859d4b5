"""The embedded default: a broker inside this process, behind the same ports as RabbitMQ. It persists nothing."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count, takewhile
from typing import Any

from notification_sender.adapters.rabbitmq.delay_ladder import whole_seconds
from notification_sender.adapters.rabbitmq.headers import envelope, letter_headers, parked_headers
from notification_sender.fleet.background import run_forever
from notification_sender.model.errors import TooLarge
from notification_sender.ports.broker import DeadLetter, Envelope, Lane, Parked, QueueDepths
from notification_sender.ports.clock import Clock

KEPT_EVENTS = 10_000
"""How many of the last events stay readable."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message in a queue."""

    body: bytes
    headers: Mapping[str, Any]


@dataclass(slots=True)
class _Queue:
    waiting: deque[Message] = field(default_factory=deque)
    unsettled: dict[object, Message] = field(default_factory=dict)
    prefetch: int = 0
    since: int = 0
    """The tag of the first delivery that the present consumer may get: earlier ones do not count for its prefetch."""
    take: Callable[[Envelope], None] | None = None

    @property
    def in_hand(self) -> int:
        """Unsettled deliveries of the present consumer."""
        former = takewhile(lambda tag: isinstance(tag, int) and tag < self.since, self.unsettled)
        return len(self.unsettled) - sum(1 for _ in former)


class MemoryBroker:
    """Intake, Outbox and Events. ``dead``: the dead letters. ``events``: the last events, each with its topic."""

    def __init__(self, *, clock: Clock, largest: int | None = None) -> None:
        """``largest``: most bytes of a message, like RabbitMQ's ``max_message_size``."""
        self._largest = largest
        self.dead: list[Message] = []
        self.events: deque[tuple[str, bytes]] = deque(maxlen=KEPT_EVENTS)
        self._clock = clock
        self._queues = {lane: _Queue() for lane in Lane}
        self._delayed: list[tuple[float, int, Lane, Message]] = []
        self._timer: asyncio.Task[None] | None = None
        self._numbers = count()

    @property
    def ready(self) -> bool:
        """Always: it is never away."""
        return True

    connected = ready

    @property
    def consuming(self) -> bool:
        """Whether every lane has a consumer."""
        return all(queue.take is not None for queue in self._queues.values())

    async def wait_ready(self) -> None:
        """Return at once: it is always ready."""

    async def connect(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Return unsettled messages to their queues, in their order."""
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
        """Pass every delivery of ``lane`` to ``take``, with at most ``prefetch`` unsettled.

        A new consumer with the same ``prefetch`` does not count what its former one took, as in RabbitMQ.
        """
        queue = self._queues[lane]
        if prefetch == queue.prefetch:
            queue.since = next(self._numbers)
        queue.prefetch, queue.take = prefetch, take
        self._hand_out_soon(lane)

    async def stop(self) -> None:
        """Stop consuming. Deliveries in hand can still be settled."""
        for queue in self._queues.values():
            queue.take = None

    async def ack(self, envelope: Envelope) -> None:
        self._queues[envelope.lane].unsettled.pop(envelope.tag, None)
        self._hand_out_soon(envelope.lane)

    def holds(self, envelope: Envelope) -> bool:
        """Whether it is unsettled."""
        return envelope.tag in self._queues[envelope.lane].unsettled

    async def give_back(self, envelope: Envelope) -> None:
        """Return the message to the front of its queue."""
        queue = self._queues[envelope.lane]
        message = queue.unsettled.pop(envelope.tag, None)
        if message is not None:
            queue.waiting.appendleft(message)
            self._hand_out_soon(envelope.lane)

    # --- outbox -------------------------------------------------------------------------------------------

    async def park(self, parked: Parked) -> None:
        """As the delay ladder does: the broker waits the whole seconds, the consumer waits the rest."""
        self._refuse_larger(parked.body)
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
        try:
            self._refuse_larger(letter.body)
        except TooLarge as fault:
            letter = letter.without_content(fault)
        self.dead.append(Message(letter.body, letter_headers(letter)))

    def publish_event(self, topic: str, event: bytes) -> None:
        self.events.append((topic, event))

    async def publish(self, body: bytes, headers: Mapping[str, Any] | None = None, lane: Lane = Lane.UNITS) -> None:
        """Publish as a publisher does, or as an operator who replays a dead letter."""
        self._put(lane, Message(body, headers or {}))

    blocked = False

    async def depths(self) -> QueueDepths:
        """How many messages wait in each queue, and on the delay ladder, all on its first rung."""
        units, notifications = (len(self._queues[lane].waiting) for lane in (Lane.UNITS, Lane.NOTIFICATIONS))
        return QueueDepths(units, notifications, len(self.dead), (len(self._delayed),))

    def _refuse_larger(self, body: bytes) -> None:
        if self._largest is not None and len(body) > self._largest:
            raise TooLarge(f"the message has {len(body)} bytes, the broker takes {self._largest} at most")

    def _put(self, lane: Lane, message: Message) -> None:
        self._queues[lane].waiting.append(message)
        self._hand_out_soon(lane)

    def _hand_out_soon(self, lane: Lane) -> None:
        # On the next turn of the loop: else a publish or an ack would call the consumer from inside itself.
        asyncio.get_running_loop().call_soon(self._hand_out, lane)

    def _hand_out(self, lane: Lane) -> None:
        queue = self._queues[lane]
        while queue.take is not None and queue.waiting and queue.in_hand < queue.prefetch:
            message, tag = queue.waiting.popleft(), next(self._numbers)
            queue.unsettled[tag] = message
            queue.take(envelope(lane, message.body, message.headers, tag, self._clock.now()))

    def _wind_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = run_forever(self._let_out, "memory broker delays")

    async def _let_out(self) -> None:
        while self._delayed:
            remaining = self._delayed[0][0] - self._clock.monotonic()
            if remaining > 0:
                await self._clock.sleep(remaining)
                continue
            _, _, lane, message = heapq.heappop(self._delayed)
            self._put(lane, message)
