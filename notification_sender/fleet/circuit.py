"""A circuit breaker that all processes of the fleet share: it opens for all of them, and one of them probes.

Internal APIs and recipients' hosts are guarded by it alike. The owner of a circuit carries its changes to the fleet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import structlog

from notification_sender.model.errors import Unready
from notification_sender.model.override import OPEN, Override
from notification_sender.policy.breaker import LONGEST_WISH, Breaker, Rules
from notification_sender.ports.clock import Clock, Dice
from notification_sender.ports.fleet import Fleet

BETWEEN_QUESTIONS = 1.0
"""Seconds between two questions of one process whether it may probe."""

_log = structlog.get_logger()


class Change(NamedTuple):
    """A change of a circuit, as one process tells it to the others; how they spell it is the owner's business."""

    state: Literal["out", "asked", "well"]
    """The circuit opened; it opened because the other side asked for a pause; it closed."""
    seconds: float
    """How long the circuit stays open."""


@dataclass(frozen=True, slots=True)
class CircuitKind:
    """What all circuits of one kind share. ``name`` is the prefix of their log events.

    ``probe_timeout``: seconds after which another probe may run although the last one has not ended.
    ``probe_alone``: a process that cannot ask the fleet probes by itself, one call at a time.
    """

    name: str
    rules: Rules
    fleet: Fleet
    clock: Clock
    dice: Dice
    probe_timeout: float
    probe_alone: bool = False


class FleetCircuit:
    """Closed, open for some seconds, then due for one probe of the whole fleet.

    A probe that fails opens the circuit for twice the last pause, whichever process made that pause.
    """

    __slots__ = ("_breaker", "_fields", "_forced", "_kind", "_name", "_probing", "asked", "since")

    def __init__(self, name: str, kind: CircuitKind, fields: Mapping[str, str]) -> None:
        """``name`` identifies the circuit in the fleet, ``fields`` in the log."""
        self._name = name
        self._kind = kind
        self._fields = fields
        self._breaker = Breaker(kind.rules)
        self._probing = False
        self._forced: Override | None = None
        self.since: float | None = None
        """Epoch time at which the circuit opened; None while it is closed."""
        self.asked = False
        """The circuit is open because the other side asked for a pause: a call that began before does not close it."""

    @property
    def is_open(self) -> bool:
        if self._forced is not None:
            return self._forced.value == OPEN
        return self.since is not None

    @property
    def age(self) -> float:
        """Seconds for which the circuit has been open; 0.0 while it is closed."""
        return 0.0 if self.since is None else max(0.0, self._kind.clock.now() - self.since)

    @property
    def is_probing(self) -> bool:
        """A probe of this process is under way."""
        return self._probing

    @property
    def is_due(self) -> bool:
        """The pause is over, and a probe may run."""
        return self._forced is None and self._breaker.state(self._kind.clock.monotonic()) == "due"

    @property
    def has_no_failures(self) -> bool:
        """The circuit is as good as a new one."""
        return self._breaker.has_no_failures

    @property
    def probe_in(self) -> float:
        """Seconds until a probe may run."""
        if self._forced is not None:
            return max(0.0, self._forced.until - self._kind.clock.now())
        return self._breaker.left(self._kind.clock.monotonic())

    async def acquire_probe(self) -> bool:
        """Whether the caller is the fleet's probe; if so, it releases the probe at the end of its call."""
        if not self.is_due:
            return False
        # Until the end of a probe is known, further callers of this process need not ask the fleet.
        self._breaker.hold_open(BETWEEN_QUESTIONS, now=self._kind.clock.monotonic())
        if self._probing:
            return False
        self._probing = True
        try:
            self._probing = await self._kind.fleet.try_acquire_probe(self._name, self._kind.probe_timeout)
        except Unready:
            self._probing = self._kind.probe_alone
        except BaseException:
            self._probing = False
            raise
        return self._probing

    async def release_probe(self) -> None:
        self._probing = False
        try:
            await self._kind.fleet.release_probe(self._name)
        except Unready:
            return  # the lease of the probe runs out by itself

    def judge(self, *, well: bool, conclusive: bool) -> Change | None:
        """The change that the end of a call makes. ``conclusive``: this one call decides, as that of a probe does."""
        if conclusive:
            return Change("well", 0.0) if well else self.open()
        seconds = self._breaker.record_result(well=well, now=self._kind.clock.monotonic(), dice=self._kind.dice())
        return None if seconds is None else Change("out", seconds)

    def open(self) -> Change:
        """Open the circuit, for twice the last pause."""
        return Change("out", self._breaker.pause(now=self._kind.clock.monotonic(), dice=self._kind.dice()))

    def apply(self, change: Change) -> None:
        """Do what this process, or another one, found out."""
        if change.state == "well":
            self._close()
            return
        now, self.asked = self._kind.clock.monotonic(), change.state == "asked"
        if self.asked:
            self._breaker.hold_open(change.seconds, now=now)
        else:
            self._breaker.adopt_pause(change.seconds, now=now)
        if self.since is None:
            self.since = self._kind.clock.now()
            seconds = round(min(change.seconds, LONGEST_WISH), 1)
            _log.warning(f"{self._kind.name}.circuit_opened", **self._fields, seconds=seconds)

    def force(self, override: Override | None) -> bool:
        """Be open or closed as an operator decided, whatever calls say, until this is called with None. Whether that
        is new. Calls are judged all the same: their judgement holds again afterwards.
        """
        new = override != self._forced
        self._forced = override
        return new

    def make_probe_due(self) -> None:
        """Let a probe run now: something else says that the other side may be well again."""
        self._breaker.make_probe_due(self._kind.clock.monotonic())

    def _close(self) -> None:
        self._breaker.close()
        if self.since is not None:
            self.since, self.asked = None, False
            _log.warning(f"{self._kind.name}.circuit_closed", **self._fields)
