"""The ports of one worker: each step goes over its wire, to the one broker and the one store."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from notification_sender.ports.broker import DeadLetter, Envelope, Lane, Parked
from notification_sender.ports.ledger import (
    AdmissionRequest,
    AdmitReply,
    AttemptReport,
    Claim,
    Claimed,
    ClaimReply,
    Crashed,
    Key,
    TerminalState,
    UnitEnd,
    WriteResult,
)
from tests.simulation.observer import Sending
from tests.simulation.units import name_of

if TYPE_CHECKING:
    from tests.simulation.pod import Pod


class Broker:
    """Intake and Outbox."""

    def __init__(self, pod: "Pod") -> None:
        self._pod, self._world = pod, pod.world

    async def consume(self, lane: Lane, prefetch: int, take: Callable[[Envelope], None]) -> None:
        async def subscribe() -> None:
            self._pod.takes[lane] = (prefetch, take)
            self._world.broker_links.hand_out_soon()

        await self._pod.call("broker", "consume", "", subscribe)

    async def stop(self) -> None:
        await self._pod.awake()
        self._pod.takes.clear()

    async def ack(self, envelope: Envelope) -> None:
        await self._settle(envelope, done=True)

    def holds(self, envelope: Envelope) -> bool:
        return envelope.tag in self._pod.unsettled

    async def give_back(self, envelope: Envelope) -> None:
        await self._settle(envelope, done=False)

    async def park(self, parked: Parked) -> None:
        name = "" if parked.lane is Lane.UNITS else parked.body.split(b'"', 6)[5].decode()
        await self._pod.call(
            "broker",
            f"park {parked.state.replays}.{parked.state.attempt}",
            name,
            lambda: self._world.broker.park(parked),
        )

    async def bury(self, letter: DeadLetter) -> None:
        async def step() -> None:
            await self._world.broker.bury(letter)
            self._world.observer.buries(self._pod, name_of(letter.body))

        await self._pod.call("broker", f"bury {letter.reason}", "", step)

    async def _settle(self, envelope: Envelope, *, done: bool) -> None:
        """Where the connection is gone it does not arrive, and that is no error."""
        fate = await self._pod.go(envelope.tag)
        if fate == "drop" or self._world.away("broker"):
            self._world.broker_links.drop(self._pod)
        self._world.broker_links.settle(self._pod, envelope, done=done)
        await self._pod.come_back(fate, "settle", "")


class Store:
    """Ledger, BatchTracker and Fleet; writes down what the store did for whom."""

    def __init__(self, pod: "Pod") -> None:
        self._pod, self._world, self._observer = pod, pod.world, pod.world.observer

    async def _ask(self, what: str, name: str, step: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return await self._pod.call("store", what, name, step)

    async def register(self, batch_id: str, size: int, key: Key) -> None:
        await self._ask("enroll", key.id, lambda: self._world.ledger.register(batch_id, size, key))

    async def claim(self, key: Key, token: str, attempt: int, *, replays: int, alone: bool = True) -> ClaimReply:
        async def step() -> ClaimReply:
            return await self._world.ledger.claim(key, token, attempt, replays=replays, alone=alone)

        return await self._ask(f"claim {replays}.{attempt}", key.id, step)

    async def admit(self, ask: AdmissionRequest) -> AdmitReply:
        async def step() -> AdmitReply:
            reply = await self._world.ledger.admit(ask)
            if isinstance(reply, Claimed | Crashed):
                self._observer.admits(reply.claim, ask, self._world.loop.time())
                if ask.begun is not None:
                    self._pod.begins(Sending(self._pod, reply.claim, self._world.loop.time()))
            return reply

        return await self._ask(f"admit {ask.replays}.{ask.attempt}", ask.key.id, step)

    async def begin(self, claim: Claim) -> bool:
        async def step() -> bool:
            sending = Sending(self._pod, claim, self._world.loop.time())
            said = await self._world.ledger.begin(claim)
            if said:
                self._pod.begins(sending)
            return said

        return await self._ask("begin", claim.key.id, step)

    async def renew(self, claim: Claim) -> bool:
        return await self._ask("renew", claim.key.id, lambda: self._world.ledger.renew(claim))

    async def finish(
        self, claim: Claim, final: TerminalState, report: AttemptReport | None = None, unit: UnitEnd | None = None
    ) -> WriteResult:
        async def step() -> WriteResult:
            written = await self._world.ledger.finish(claim, final, report, unit)
            self._ends_unit(written, unit)
            if written.ours:
                self._observer.settles(claim, final, self._world.loop.time())
                self._observer.records(self._pod, claim.key.id)
            return written

        return await self._ask(f"finish {final.state}", claim.key.id, step)

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
        async def step() -> WriteResult:
            written = await self._world.ledger.release(
                claim, attempt, delay=delay, report=report, unit=unit, entry=entry
            )
            self._ends_unit(written, unit)
            if written.ours:
                self._observer.settles(claim, None, self._world.loop.time())
            return written

        return await self._ask(f"release {attempt}", claim.key.id, step)

    def _ends_unit(self, written: WriteResult, unit: UnitEnd | None) -> None:
        if unit is not None and written.unit_ended:
            done = TerminalState("done", "", (unit.notification_id,))
            self._observer.settles(unit.claim, done, self._world.loop.time())
            self._observer.records(self._pod, unit.claim.key.id)

    async def note_deferral(self, key: Key, entry: str, *, delay: float) -> None:
        await self._ask("note_deferral", key.id, lambda: self._world.ledger.note_deferral(key, entry, delay=delay))

    async def keep_withheld(self, key: Key, destination_id: str, message: bytes) -> None:
        await self._ask("keep", key.id, lambda: self._world.ledger.keep_withheld(key, destination_id, message))

    async def note(self, key: Key, final: TerminalState) -> None:
        async def step() -> None:
            await self._world.ledger.note(key, final)
            self._observer.records(self._pod, key.id)

        await self._ask(f"note {final.state}", key.id, step)

    async def try_acquire_probe(self, api: str, seconds: float) -> bool:
        return await self._ask("probe", api, lambda: self._world.fleet.try_acquire_probe(api, seconds))

    async def release_probe(self, api: str) -> None:
        await self._ask("probed", api, lambda: self._world.fleet.release_probe(api))


class PubSub:
    """May be lost on its way to each of the others."""

    def __init__(self, pod: "Pod") -> None:
        self._pod = pod

    async def publish(self, _: str, text: str) -> None:
        world = self._pod.world
        await self._pod.awake()
        world.note_deferral(self._pod.name, "tells", "", text)
        for pod in world.pods:
            if world.dice.random() >= 0.1:
                world.loop.call_later(world.faults.delay(), pod.hear, text)

    def subscribe(self, _: str, listener: Callable[[str], None]) -> None:
        """There is one topic."""
        self._pod.listeners.append(listener)
