"""Faults that the product must not have, put into it: each is to be found."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from notification_sender.adapters.memory_ledger import MemoryLedger
from notification_sender.adapters.memory_record import Number, Record
from notification_sender.policy import limits
from notification_sender.ports import Envelope
from notification_sender.worker.lanes import Lanes
from notification_sender.worker.settle import Settler

ANSWER = MemoryLedger._answer
HANDLE = Lanes._handle


async def _ack_first(self: Lanes, envelope: Envelope) -> None:
    await self._intake.ack(envelope)
    await HANDLE(self, envelope)


async def _not_recorded(*_: Any) -> None:
    """Accepted, and nobody told the store."""


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
    "acked before its outcome is durable": _replaced((Lanes, "_handle", _ack_first)),
    "an acceptance is not recorded": _replaced((Settler, "_record_acceptance", _not_recorded)),
    "no attempt is stale": _replaced((MemoryLedger, "_answer", _never_stale)),
    "a dead letter opens as often as it is handed out": _replaced((MemoryLedger, "_answer", _each_replay_opens)),
    "whoever asks may send": _replaced((MemoryLedger, "begin", _always)),
    "whoever lost its claim may settle": _replaced((Record, "held_by", _anybodys)),
    "a slot is redeemed however much was sent": _replaced((limits._Now, "redeems", property(lambda self: self.booked))),
}
