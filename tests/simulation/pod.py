"""One worker of the simulation: the real worker, and a wire on which all that it says to the outside may suffer."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from notification_sender.model.errors import Unready
from notification_sender.ports.broker import Envelope, Lane
from notification_sender.worker.worker import Worker
from tests.simulation.loop import Task
from tests.simulation.observer import Sending
from tests.virtual import START

if TYPE_CHECKING:
    from tests.simulation.world import World

Result = TypeVar("Result")
Step = Callable[[], Coroutine[Any, Any, Result]]
POD: ContextVar["Pod"] = ContextVar("pod")
HALF = 0.5
HEARTBEAT = 20.0
"""Seconds after which the broker gives up somebody who says nothing."""


class Pod:
    """Ports of it that go dead when it is killed, and wait while it is frozen. It is its own clock, ``skew`` s off."""

    def __init__(self, world: "World", name: str, skew: float) -> None:
        self.world, self.name, self.skew = world, name, skew
        self.tasks: list[Task] = []
        self.dead = False
        self.thaw = 0.0
        self.open: list[Sending] = []
        """Begun, and the store was not told how it ended."""
        self.unsettled: dict[object, Envelope] = {}
        self.takes: dict[Lane, tuple[int, Callable[[Envelope], None]]] = {}
        self.listeners: list[Callable[[str], None]] = []
        self.context = Context()
        self.context.run(POD.set, self)
        self.worker: Worker

    def now(self) -> float:
        return START + self.world.loop.time() + self.skew

    def monotonic(self) -> float:
        return self.world.loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))
        await self.awake()

    async def awake(self) -> None:
        """Return while it is neither frozen nor dead."""
        # No event: it may be frozen again before it thaws.
        while not self.dead and (left := self.thaw - self.world.loop.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left)
        if self.dead:
            raise asyncio.CancelledError

    def spawn(self, work: Coroutine[Any, Any, Any]) -> Task:
        return self.context.copy().run(self.world.loop.create_task, work)  # type: ignore[return-value]

    async def call(self, whom: str, what: str, name: str, step: Step[Result]) -> Result:
        """One step that the store or the broker takes for it.

        Raises:
            Unready: whether it was taken is not known.
        """
        fate = await self.go(what, name, step)
        if self.world.away(whom):
            raise self._unready("away", what, name, step)
        if fate in {"refused", "late"}:
            raise self._unready(fate, what, name, step)
        if fate == "twice":
            await self.world.carry_out(step)
        result = await self.world.carry_out(step)
        self.world.tell(self.name, what, name, f"{result} {fate}" if fate else result)
        await self.come_back(fate, what, name)
        if fate == "lost":
            raise self._unready(fate, what, name, step)
        return result

    async def go(self, what: object, name: str = "", step: Step[Any] | None = None) -> str:
        """On its way out, where much may befall it; what will befall it later."""
        await self.awake()
        fate = self.world.fate()
        if delay := self.world.faults.delay():
            await self._travel(delay, step)
        if fate in {"kill before", "freeze before"}:
            await self._suffer(fate, what, name)
        return fate

    async def come_back(self, fate: str, what: object, name: str) -> None:
        if fate in {"kill after", "freeze after"}:
            await self._suffer(fate, what, name)
        if delay := self.world.faults.delay():
            await asyncio.sleep(delay)
        await self.awake()

    async def _travel(self, delay: float, step: Step[Any] | None) -> None:
        """What has left arrives, perhaps, though nobody waits for it any more."""
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError:
            if step is not None and self.world.dice.random() < HALF:
                self.world.later(0.0, step)
            raise

    async def _suffer(self, fate: str, what: object, name: str) -> None:
        self.world.tell(self.name, fate, name, what)
        if fate.startswith("kill"):
            self.world.kill(self)
            raise asyncio.CancelledError
        self.freeze(self.world.dice.choice((2.0, 15.0, 31.0, 45.0, 70.0)))
        await self.awake()

    def _unready(self, fate: str, what: str, name: str, step: Step[Any]) -> Unready:
        self.world.tell(self.name, "unready", name, f"{what} {fate}")
        self.world.observer.happens(self, "unready", name)
        if fate == "late":
            self.world.later(self.world.dice.choice((0.0, 0.1, 0.3, 1.0, 5.0)), step)
        return Unready(what)

    def freeze(self, seconds: float) -> None:
        loop = self.world.loop
        self.world.tell(self.name, "frozen", "", seconds)
        self.thaw = max(self.thaw, loop.time() + seconds)
        self.world.observer.happens(self, "frozen")
        if seconds > HEARTBEAT:
            loop.call_later(HEARTBEAT, self.world.broker_links.drop, self)

    @property
    def busy(self) -> bool:
        """It has something in hand, or may find something in its socket once it thaws."""
        return bool(self.worker.lanes.unsettled) or self.thaw > self.world.loop.time()

    def begins(self, sending: Sending) -> None:
        """The store said yes; whoever is frozen meanwhile learns of it late."""
        if self.thaw > sending.began:
            sending.why.append("frozen")
        self.open.append(sending)
        self.world.observer.begins(sending)

    def begun(self, name: str) -> Sending:
        """The latest of that name, of which it has just learnt."""
        return next(it for it in reversed(self.open) if it.name == name)

    def wants(self, lane: Lane) -> bool:
        """Whether the broker may give it one more."""
        if self.dead or lane not in self.takes:
            return False
        return sum(it.lane is lane for it in self.unsettled.values()) < self.takes[lane][0]

    def receive(self, lane: Lane, envelope: Envelope) -> None:
        """From the broker; while it is frozen it lies in its socket."""
        left = self.thaw - self.world.loop.time()
        if left > 0:
            self.world.loop.call_later(left, self.receive, lane, envelope)
        elif not self.dead and lane in self.takes:
            self.context.copy().run(self.takes[lane][1], envelope)

    def hear(self, text: str) -> None:
        left = self.thaw - self.world.loop.time()
        if left > 0:
            self.world.loop.call_later(left, self.hear, text)
        elif not self.dead:
            for listener in self.listeners:
                listener(text)
