"""What the one broker in memory gives out, to several workers: each of them has a connection that may drop."""

from collections import deque
from typing import TYPE_CHECKING

from notification_sender.adapters.memory.broker import MemoryBroker
from notification_sender.ports.broker import Envelope, Lane

if TYPE_CHECKING:
    from tests.simulation.pod import Pod
    from tests.simulation.world import World

EVERYTHING = 1_000_000_000


class BrokerLinks:
    def __init__(self, world: "World", broker: MemoryBroker) -> None:
        self._world = world
        self._broker = broker
        self._ready: dict[Lane, deque[Envelope]] = {lane: deque() for lane in Lane}
        self._due = False

    @property
    def pending(self) -> int:
        """Messages in a queue, in somebody's hands, or in the ladder."""
        queues = self._broker._queues.values()
        return sum(len(it.waiting) + len(it.unsettled) for it in queues) + len(self._broker._delayed)

    async def open(self) -> None:
        for lane in Lane:
            await self._broker.consume(lane, EVERYTHING, self._take)

    def settle(self, pod: "Pod", envelope: Envelope, *, done: bool) -> None:
        """An answer to what was given by a connection that is gone means nothing."""
        if pod.unsettled.pop(envelope.tag, None) is None:
            return
        self._world.at_once(lambda: self._broker.ack(envelope) if done else self._broker.give_back(envelope))
        self._world.tell(pod.name, "ack" if done else "give back", "", envelope.tag)
        self.hand_out_soon()
        if not self.pending:
            self._world.idle.set()

    def drop(self, pod: "Pod") -> None:
        """All that ``pod`` has in hand is given to anybody, once more."""
        lost, pod.unsettled = list(pod.unsettled.values()), {}
        self._world.tell(pod.name, "dropped", "", len(lost))
        for envelope in reversed(lost):
            self._world.at_once(lambda it=envelope: self._broker.give_back(it))
        self.hand_out_soon()

    def hand_out_soon(self) -> None:
        if not self._due:
            self._due = True
            self._world.loop.call_soon(self._hand_out)

    def _take(self, envelope: Envelope) -> None:
        self._ready[envelope.lane].append(envelope)
        self.hand_out_soon()

    def _hand_out(self) -> None:
        self._due = False
        if self._world.away("broker"):
            return
        for lane, ready in self._ready.items():
            while ready and (pods := [it for it in self._world.pods if it.wants(lane)]):
                envelope, pod = ready.popleft(), self._world.dice.choice(pods)
                pod.unsettled[envelope.tag] = envelope
                self._world.tell(pod.name, "given", "", f"{lane} {envelope.tag} attempt {envelope.state.attempt}")
                pod.receive(lane, envelope)
