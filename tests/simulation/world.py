"""One seed: some organizations, some workers on one broker and one store, and dice that decide all that happens."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from random import Random
from typing import Any, TypeVar

from notification_sender.adapters.memory.broker import MemoryBroker, Message
from notification_sender.ports.broker import Lane
from notification_sender.ports.ledger import Key
from tests.oracles.fleet import MemoryFleet
from tests.simulation.broker_links import BrokerLinks
from tests.simulation.faults import Faults
from tests.simulation.history import History
from tests.simulation.loop import Loop, Task
from tests.simulation.observer import Observer
from tests.simulation.pod import POD, Pod
from tests.simulation.simulated_worker import METRICS, build_worker
from tests.simulation.stores import Plain, Scripted
from tests.simulation.units import Unit, drawn, name_of
from tests.virtual import START

Result = TypeVar("Result")
MakeLedger = Callable[["World"], Plain | Scripted]
LIMIT = 6 * 3600.0
"""Seconds after which something goes on for ever."""
MOST = 30_000
"""Lines of history after which it does, too."""
LOOK = 1.0
PODS = 3


class World:
    """Is the clock of the broker and of the store."""

    def __init__(self, seed: int, make_ledger: MakeLedger = Plain) -> None:
        self.seed, self.dice, self.loop = seed, Random(seed), Loop()
        self.loop.set_task_factory(self._made)  # type: ignore[arg-type]
        self.faults, self.history, self.observer = Faults(self.dice), History(), Observer()
        self.broker = MemoryBroker(clock=self)
        self.ledger = make_ledger(self)
        self.states: dict[Key, str] = {}
        self.fleet = MemoryFleet(clock=self, period=1.0)
        self.broker_links = BrokerLinks(self, self.broker)
        self.pods: list[Pod] = []
        self.ended: list[Pod] = []
        self.idle = asyncio.Event()
        self.trouble = self.dice.choice((0.0, 0.0, 0.1, 0.3))
        self.held = self.dice.random() < 0.5
        self.concurrency = self.dice.choice((2, 4, 8))
        self.max_age = self.dice.choice((60.0, 86_400.0, 86_400.0))
        self.units = drawn(self.dice)
        self.moves = self.dice.choice((0, 0, 0, 1))
        self.own = self.dice.choice((1, 32, 32))
        self.to_publish = self.on_the_way = 0
        self._away = {"store": 0.0, "broker": 0.0}
        self._names = iter(range(1000))

    # --- as a clock ---------------------------------------------------------------------------------------

    def now(self) -> float:
        return START + self.loop.time()

    def monotonic(self) -> float:
        return self.loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))

    # --- what happens -------------------------------------------------------------------------------------

    def run(self) -> "World":
        """To its end, or to where it is clear that there is none."""
        bugs, unrecorded = _bugs(), METRICS.unrecorded._value.get()
        try:
            self.loop.run_until_complete(self._run())
        finally:
            self.loop.close()
        self.bugs, self.unrecorded = _bugs() - bugs, METRICS.unrecorded._value.get() - unrecorded
        return self

    async def _run(self) -> None:
        await self.broker_links.open()
        for _ in range(PODS):
            self._start()
        for unit in self.units:
            self._publish_soon(unit)
        for at in self.faults.stops():
            self.loop.call_later(at, self._stop)
        for at, whom, seconds in self.faults.outages():
            self.loop.call_later(at, self._outage, whom, seconds)
        for at in self.faults.moves():
            self.loop.call_later(at, self._move_back)
        while self.loop.time() < LIMIT and not await self._over():
            pass
        self.states = await self.ledger.states()
        for pod in list(self.pods):
            self.kill(pod, again=False)
        await self.sleep(LOOK)

    async def _over(self) -> bool:
        if self.broker_links.pending or self.to_publish:
            self.idle.clear()
            try:
                await asyncio.wait_for(self.idle.wait(), LIMIT - self.loop.time())
            except TimeoutError:
                return True
        if len(self.history.lines) >= MOST:
            return True
        await self.sleep(LOOK)
        if self.broker_links.pending or self.to_publish or self.on_the_way or any(it.busy for it in self.pods):
            return False
        if self.moves and self.broker.dead:
            self.moves -= 1
            self._move_back()
            return False
        return True

    def tell(self, who: str, what: str, name: str = "", more: Any = "") -> None:
        self.history.add(self.loop.time(), who, what, name, more)
        if len(self.history.lines) == MOST:
            self.idle.set()

    def fate(self) -> str:
        return self.faults.fate(self.loop.time())

    def away(self, whom: str) -> bool:
        return self.loop.time() < self._away[whom]

    def at_once(self, step: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """A step that waits for nothing, taken by nobody: it goes on whoever ends."""
        work = step()
        try:
            Context().run(work.send, None)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        work.close()
        raise RuntimeError("it waits")

    async def carry_out(self, step: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """What has arrived is done, also where its sender ends meanwhile."""
        if not self.ledger.waits:
            return self.at_once(step)
        return await asyncio.shield(self.loop.create_task(step(), context=Context()))

    def later(self, seconds: float, step: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self.on_the_way += 1
        self.loop.call_later(seconds, lambda: self.loop.create_task(self._arrive(step), context=Context()))

    async def _arrive(self, step: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        await step()
        self.on_the_way -= 1

    # --- workers ------------------------------------------------------------------------------------------

    def _start(self) -> None:
        pod = Pod(self, f"w{next(self._names)}", self.dice.choice((0.0, 0.0, 0.03, -0.4, 0.7)))
        pod.worker = build_worker(pod, held=self.held)
        self.pods.append(pod)
        self.tell(pod.name, "started")
        pod.spawn(pod.worker.start())

    def kill(self, pod: Pod, *, again: bool = True) -> None:
        """Nothing that it does from now on reaches anybody."""
        if pod.dead:
            return
        self.tell(pod.name, "killed")
        self._end(pod, "killed")
        if again:
            self.loop.call_later(self.dice.uniform(0, 5), self.broker_links.drop, pod, context=Context())
            self.loop.call_later(self.dice.uniform(0, 10), self._start, context=Context())

    def _stop(self) -> None:
        if self.pods:
            pod = self.pods[0]
            self.tell(pod.name, "asked to stop")
            closing = pod.spawn(pod.worker.close(self.dice.choice((3.0, 10.0, 25.0))))
            closing.add_done_callback(lambda _: self._stopped(pod))
            if self.dice.random() < 0.2:
                self.loop.call_later(1.0, closing.cancel)

    def _stopped(self, pod: Pod) -> None:
        """As at a deployment: it was asked to stop, and another one begins."""
        if not pod.dead:
            self.tell(pod.name, "stopped")
            self._end(pod, "stopped")
            self.broker_links.drop(pod)
            self._start()

    def _end(self, pod: Pod, how: str) -> None:
        self.observer.ends(pod, how, self.loop.time())
        pod.dead = True
        self.pods.remove(pod)
        self.ended.append(pod)
        for task in pod.tasks:
            task.cancel()

    def _made(self, _: Any, work: Coroutine[Any, Any, Any], context: Context | None = None) -> Task:
        task = self.loop.make(work, context)
        pod = POD.get(None) if context is None else context.get(POD)
        if pod is not None:
            pod.tasks.append(task)
        return task

    def _outage(self, whom: str, seconds: float) -> None:
        self.tell("", f"{whom} away", "", seconds)
        self._away[whom] = self.loop.time() + seconds
        if whom == "broker":
            for pod in self.pods:
                self.broker_links.drop(pod)
            self.loop.call_later(seconds + 0.001, self.broker_links.hand_out_soon)

    # --- work ---------------------------------------------------------------------------------------------

    def _publish_soon(self, unit: Unit) -> None:
        for at in unit.at:
            self.to_publish += 1
            self.loop.call_later(at, self._publish, unit)

    def _publish(self, unit: Unit) -> None:
        """A publisher insists until it is confirmed."""
        if self.away("broker"):
            self.loop.call_later(1.0, self._publish, unit)
            return
        self.to_publish -= 1
        self.tell("", "published", unit.name)
        self.at_once(lambda: self.broker.publish(unit.body))

    def _move_back(self) -> None:
        """As an operator does with all that is dead. The broker may hand each of them out twice."""
        if not self.pods:
            return
        letters, self.broker.dead = self.broker.dead, []
        for letter in letters:
            for seconds in self.faults.handed_out():
                self.to_publish += 1
                self.loop.call_later(seconds, self._put_back, letter)

    def _put_back(self, letter: Message) -> None:
        self.to_publish -= 1
        lane = Lane.NOTIFICATIONS if b'"notification_id"' in letter.body else Lane.UNITS
        self.tell("", "moved back", name_of(letter.body), letter.headers["x-reason"])
        self.at_once(lambda: self.broker.publish(letter.body, letter.headers, lane))


def _bugs() -> float:
    return sum(METRICS.bugs.labels(lane.value)._value.get() for lane in Lane)
