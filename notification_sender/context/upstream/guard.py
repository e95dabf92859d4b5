"""The guard of one API: how many calls it gets at once, and when the calls stop."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, get_args

import structlog

from notification_sender.context.upstream.semaphore import ResizableSemaphore
from notification_sender.fleet.circuit import Change, CircuitKind, FleetCircuit
from notification_sender.model.cause import Cause, Phase
from notification_sender.model.errors import ContextUnavailable, Outage
from notification_sender.model.override import Override
from notification_sender.policy.adaptive_limit import AimdLimit
from notification_sender.policy.breaker import API, LONGEST_WISH
from notification_sender.policy.doubts import Doubts
from notification_sender.policy.retry import RetryBudget
from notification_sender.policy.silence import Silence
from notification_sender.policy.slowness import Slowness
from notification_sender.ports.clock import Clock, Dice
from notification_sender.ports.fleet import AllocationRequest, Fleet, PubSub
from notification_sender.telemetry.lag import Deadline, lost_seconds

State = Literal["well", "slow", "out"]

STATES: tuple[State, ...] = get_args(State)

SILENT_DEADLINES = 2
"""Deadlines without any answer after which the circuit opens, however few calls those were."""

TOPIC = "apis"
"""Of the messages that a circuit of an API opened or closed."""

_log = structlog.get_logger()


class Health(Enum):
    """What the end of a call says of the API."""

    WELL = "well"
    FAILED = "failed"
    OVERLOADED = "overloaded"
    """The call failed, as it seems because the API is overloaded."""
    UNKNOWN = "unknown"
    """The call was not finished, for reasons of ours."""


@dataclass(slots=True)
class CallPermit:
    """One call while it is under way. The caller writes down how it went, and releases the permit."""

    begun: float
    """Monotonic, s."""
    lost: float
    """Seconds that our own loop had lost until then."""
    probe: bool
    health: Health = Health.UNKNOWN
    wish: float | None = None
    """Seconds for which the API asks us to stay away."""
    organization: str = ""
    """The organization that the call was made for; empty where the failure is about the API, not about a record."""
    first_byte: float | None = None
    """Seconds until an answer of any kind began; None: there was none."""

    @property
    def answered(self) -> bool:
        return self.first_byte is not None or self.health is Health.WELL


class Guard:
    """One for each API, shared by all its callers.

    ``budget``: calls of the whole fleet at once; None leaves them bounded by the adaptive limit of each process.
    ``timeout``: seconds that a call may wait for a slot, and that a probe may take. ``objective``: seconds within which
    the first byte of an answer should come.
    """

    def __init__(
        self,
        *,
        api: str,
        fleet: Fleet,
        pubsub: PubSub,
        clock: Clock,
        timeout: float,
        budget: int | None = None,
        objective: float = 1.0,
        dice: Dice = random.random,
    ) -> None:
        self.api = api
        self.retries = RetryBudget()
        self.changes: list[Callable[[], None]] = []
        """Called when the circuit may have opened or closed."""
        self._pubsub = pubsub
        self._clock = clock
        self._timeout = timeout
        self._budget = budget
        kind = CircuitKind("api", API, fleet, clock, dice, probe_timeout=timeout, probe_alone=True)
        self._circuit = FleetCircuit(api, kind, {"api": api})
        self._doubts = Doubts()
        self._silence = Silence(SILENT_DEADLINES * timeout)
        self._slowness = Slowness(objective)
        self._window = AimdLimit()
        self._gate = ResizableSemaphore(self._limit)
        self._allocated = 0
        self._asked = self._until = -math.inf

    @property
    def out(self) -> bool:
        return self._circuit.is_open

    @property
    def open_since(self) -> float | None:
        """Epoch time at which the circuit opened by itself; None while it is closed."""
        return self._circuit.since

    @property
    def state(self) -> State:
        """For people. A slow API is called all the same."""
        if self.out:
            return "out"
        return "slow" if self._slowness.slow else "well"

    @property
    def probe_in(self) -> float:
        """Seconds until a probe may run."""
        return self._circuit.probe_in

    async def acquire(self) -> CallPermit:
        """Permit one call, once there is room for it; the caller releases the permit.

        Raises:
            Outage: the circuit is open, and the API is not called.
            ContextUnavailable: there was no room in time.

        """
        probe = self.out
        if probe and not await self._circuit.acquire_probe():
            raise Outage(self.api, self.probe_in)
        try:
            await (self._enter_as_probe() if probe else self._enter())
        except BaseException:
            if probe:
                await self._circuit.release_probe()
            raise
        permit = CallPermit(self._clock.monotonic(), lost_seconds(), probe)
        self._silence.call_began(permit.begun - permit.lost)
        return permit

    async def release(self, permit: CallPermit) -> None:
        """The call has ended, as the permit says by now."""
        try:
            self._gate.leave()
            self._time(permit)
            if permit.health is not Health.UNKNOWN:
                await self._judge(permit)
                await self.check_silence()
        finally:
            if permit.probe:
                await self._circuit.release_probe()

    def apply(self, change: Change) -> None:
        """A process of the fleet opened or closed the circuit."""
        self._circuit.apply(change)
        self._circuit_changed()

    def force(self, override: Override | None) -> None:
        """Keep the circuit open or closed as an operator decided; None: as the calls say."""
        if self._circuit.force(override):
            self._circuit_changed()

    def _circuit_changed(self) -> None:
        if self.out:
            self._gate.fail_waiters(Outage(self.api, self.probe_in))
        self._silence.forget(self._now())
        self._slowness.forget()
        for listener in self.changes:
            listener()

    async def check_silence(self) -> None:
        """Open the circuit if the API has said nothing for too long. Due once a second, and at the end of a call."""
        self._change_slowness(lambda it: it.lapse(self._now()))
        if not self.out and self.open_since is None and self._silence.lasts(self._now()):
            await self._announce(self._circuit.open())

    def allocation_request(self) -> AllocationRequest | None:
        """What to announce to the fleet. Until the answer comes, no more calls are begun than are under way now."""
        if self._budget is None:
            return None
        inside, allocated = self._gate.inside, self._usable_part()
        self._asked, self._allocated = self._clock.monotonic(), min(allocated, inside)
        return AllocationRequest(self._budget, inside, allocated, inside + self._gate.waiting)

    def allow(self, allocated: int, seconds: float) -> None:
        """Allow ``allocated`` calls at once, for ``seconds`` after the announcement."""
        self._allocated, self._until = allocated, self._asked + seconds
        self._gate.release()

    def summary(self) -> dict[str, Any]:
        """For people."""
        return {
            "state": self.state,
            "probe_in": round(self.probe_in, 1),
            "limit": self._limit(),
            "in_flight": self._gate.inside,
            "waiting": self._gate.waiting,
        }

    def _limit(self) -> int:
        return self._window.limit if self._budget is None else min(self._window.limit, self._usable_part())

    def _usable_part(self) -> int:
        """The part of the budget; nothing once it has run out: other processes may have it by now."""
        return self._allocated if self._clock.monotonic() < self._until else 0

    async def _enter(self) -> None:
        try:
            async with Deadline(self._timeout):
                await self._gate.enter()
        except TimeoutError:
            cause = Cause(api=self.api, phase=Phase.SLOT)
            raise ContextUnavailable(f"{self.api}: no slot in {self._timeout:g} s", cause=cause) from None

    async def _enter_as_probe(self) -> None:
        """Calls that began before the circuit opened do not keep the probe waiting; the budget of the fleet does."""
        if self._budget is None or self._gate.inside < self._usable_part():
            self._gate.enter_over_limit()
        else:
            await self._enter()

    def _time(self, permit: CallPermit) -> None:
        """Note what the duration of a call says of the API, whether it answered or not."""
        now = self._now()
        seconds = now - (permit.begun - permit.lost)
        self._silence.call_ended(now)
        if permit.answered:
            self._silence.forget(now)
        elif permit.health is not Health.UNKNOWN:
            self._silence.unanswered(permit.organization)
        late = permit.health is Health.OVERLOADED and seconds > self._slowness.objective
        if not self.out and (permit.answered or late):
            took = seconds if permit.first_byte is None else permit.first_byte
            self._change_slowness(lambda it: it.add(took, now))

    def _change_slowness(self, change: Callable[[Slowness], None]) -> None:
        was = self._slowness.slow
        change(self._slowness)
        if self._slowness.slow != was:
            event = "api.slow_ended" if was else "api.slow"
            _log.warning(event, api=self.api, first_byte_ms=round(1000 * self._slowness.typical))

    def _now(self) -> float:
        """Now, without the time that our own loop has lost: that says nothing of an API."""
        return self._clock.monotonic() - lost_seconds()

    async def _judge(self, permit: CallPermit) -> None:
        now, well = self._clock.monotonic(), permit.health is Health.WELL
        if well:
            self._doubts.well(permit.organization, now)
            self._window.on_success(self._gate.inside + 1)
        elif permit.organization and not self._doubts.counts(permit.organization, now):
            return
        if permit.health is Health.OVERLOADED and not (
            permit.organization and self._doubts.alone(permit.organization, now)
        ):
            self._window.on_overload(begun=permit.begun, now=now)
        if permit.wish is not None:
            await self._announce(Change("asked", min(max(permit.wish, 0.0), LONGEST_WISH)))
        elif change := self._circuit.judge(well=well, conclusive=permit.probe):
            await self._announce(change)

    async def _announce(self, change: Change) -> None:
        self.apply(change)
        await self._pubsub.publish(TOPIC, f"{self.api} {change.state} {change.seconds:.3f}")
