"""Faults that the product must not have, put into it: each is to be found."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from notification_sender.policy import limits
from notification_sender.ports.broker import Envelope
from notification_sender.worker import unit_work
from notification_sender.worker.lanes import Lanes
from notification_sender.worker.settle import Settler
from notification_sender.worker.unit_work import FanOut
from tests.oracles.ledger import MemoryLedger
from tests.oracles.record import Number, Record

ANSWER = MemoryLedger._answer
CUT, HAND_ON = unit_work.cut, FanOut._hand_on
LATER = 5.0
RUN = Lanes._run


async def _ack_first(self: Lanes, envelope: Envelope) -> None:
    await self._intake.ack(envelope)
    await RUN(self, envelope)


async def _not_recorded(*_: Any) -> None:
    """Accepted, and nobody told the store."""


async def _handed_on_later(self: FanOut, unit: Any, targets: Any, envelope: Envelope) -> tuple[str, ...]:
    """The unit is done before its slices are anywhere."""

    async def later() -> None:
        await self._clock.sleep(LATER)
        await HAND_ON(self, unit, targets, envelope)

    if targets:
        asyncio.get_running_loop().create_task(later())
    return tuple(name for name, _ in unit_work.cut(unit, targets, size=unit_work.OWN, replays=envelope.state.replays))


async def _named_by_none(self: FanOut, unit: Any, targets: Any, envelope: Envelope) -> tuple[str, ...]:
    """One record for all slices of a unit: whoever is second finds it done."""

    def cut(*args: Any, **kwargs: Any) -> Iterator[tuple[str, bytes]]:
        for name, body in CUT(*args, **kwargs):
            yield "one", body.replace(name.encode(), b"one")

    with patch.object(unit_work, "cut", cut):
        return await HAND_ON(self, unit, targets, envelope)


def _never_stale(self: MemoryLedger, key: Any, record: Record, token: str, number: Number) -> Any:
    if not record.over:
        record.number = min(record.number, number)
    return ANSWER(self, key, record, token, number)


def _each_replay_opens(self: MemoryLedger, key: Any, record: Record, token: str, number: Number) -> Any:
    if record.state == "dead":
        record.replays = min(record.replays, number[0] - 1)
    return ANSWER(self, key, record, token, number)


async def _always(*_: Any) -> bool:
    return True


def _anybodys(self: Record, _: Any) -> bool:
    return self.claimed


def _replaced(*changes: tuple[Any, str, Any]) -> Callable[[], AbstractContextManager[None]]:
    @contextmanager
    def mutant() -> Iterator[None]:
        with ExitStack() as stack:
            for owner, name, new in changes:
                stack.enter_context(patch.object(owner, name, new))
            yield

    return mutant


MUTANTS = {
    "acked before its outcome is durable": _replaced((Lanes, "_run", _ack_first)),
    "an acceptance is not recorded": _replaced((Settler, "_record_acceptance", _not_recorded)),
    "no attempt is stale": _replaced((MemoryLedger, "_answer", _never_stale)),
    "a dead letter opens as often as it is handed out": _replaced((MemoryLedger, "_answer", _each_replay_opens)),
    "a unit is done before its slices are handed on": _replaced((FanOut, "_hand_on", _handed_on_later)),
    "the slices of a unit are one": _replaced((FanOut, "_hand_on", _named_by_none)),
    "whoever asks may send": _replaced((MemoryLedger, "begin", _always)),
    "whoever lost its claim may settle": _replaced((Record, "held_by", _anybodys)),
    "a slot is redeemed however much was sent": _replaced((limits._Now, "redeems", property(lambda self: self.booked))),
}
