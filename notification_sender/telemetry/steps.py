"""The steps of a delivery: each second from the first sight of a message to its end belongs to exactly one of them.

What each step means is in docs/explanation/the-steps.md.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

from notification_sender.model.outcome import Deferred, Failed
from notification_sender.ports.broker import Envelope, Lane, Wait
from notification_sender.ports.clock import Clock

if TYPE_CHECKING:
    from notification_sender.telemetry.traced_delivery import TracedDelivery
    from notification_sender.telemetry.traces import Traces

QUEUE_WAIT, CLAIM, RENDER, ADMIT, RECORD = "queue_wait", "claim", "render", "admit", "record"
THROTTLE_WAIT, RETRY_WAIT = "throttle_wait", "retry_wait"
CONTEXT, SEND, DEFERRED = "context.", "send.", "deferred."
"""Before the name of a source, of a channel, or the reason of a deferral."""

END_TO_END = "end_to_end"
"""No step: from first sight to the end of a notification, in the metric of the steps."""

UNREADY, UNEXPECTED = "deferred.unready", "deferred.unexpected_error"
"""Waits of a delivery that could not be settled: RabbitMQ or Redis was away too long, or there is a bug."""

FIRST: Mapping[Lane, str] = {Lane.UNITS: CLAIM, Lane.NOTIFICATIONS: ADMIT}
"""The step with which a delivery begins its slot."""

_RANKS = {ADMIT: 2, RECORD: 3, RENDER: 4, QUEUE_WAIT: 5}
"""Of notifications side by side, the slot is in the step that comes first here; before all of them, a send."""


def wait_of(outcome: Deferred | Failed) -> str:
    """The step in which a message waits after this outcome."""
    if isinstance(outcome, Failed):
        return RETRY_WAIT
    return THROTTLE_WAIT if outcome.reason == "throttled" else DEFERRED + outcome.reason


def reason_of(step: str) -> str:
    """Why a message waits in this step: the reason of its deferral, or ``failed``. Empty: for a slot."""
    reasons = {RETRY_WAIT: "failed", THROTTLE_WAIT: "throttled"}
    return reasons.get(step) or (step.removeprefix(DEFERRED) if step.startswith(DEFERRED) else "")


class SlotSteps:
    """The steps of one message from first sight on. While it holds a slot, this is the step of the slot as well."""

    __slots__ = ("_again", "_before", "_clock", "_since", "_spent", "_written", "step", "trace")

    def __init__(self, clock: Clock, step: str, since: float, before: dict[str, float], *, again: bool = False) -> None:
        """``since``: when ``step`` began, on the monotonic clock. ``before``: seconds by step before that; ``again``:
        it may have been in the same steps then.
        """
        self._clock = clock
        self._since = since
        self._written: float | None = None
        self._before = before
        self._again = again
        self._spent: dict[str, float] = {}
        """Seconds by step in this slot, without those of the step that lasts."""
        self.step = step
        self.trace: TracedDelivery | None = None
        """None: traces are off."""

    def enter(self, step: str, now: float | None = None) -> None:
        """From now on it is in this ``step``. ``now``: on the monotonic clock, where the caller has read it."""
        if now is None:
            now = self._clock.monotonic()
        spent, was = self._spent, self.step
        spent[was] = spent[was] + now - self._since if was in spent else now - self._since
        self.step, self._since = step, now
        if self.trace is not None:
            self.trace.enter(step, now)

    def elapsed(self) -> dict[str, float]:
        """Seconds by step until now, or until its copy was written."""
        now = self._clock.monotonic() if self._written is None else self._written
        before, spent, step = self._before, self._spent, self.step
        whole = {**before, **spent}
        if self._again:
            whole |= {name: before[name] + spent[name] for name in before.keys() & spent}
        whole[step] = whole[step] + now - self._since if step in whole else now - self._since
        return whole

    def wait(self, step: str) -> Wait:
        """The wait of a copy that is written now. What a record says of this delivery ends here."""
        self._written = self._clock.monotonic()
        return Wait(step, self._clock.now())

    def unreported(self, step: str) -> Wait:
        """The wait of a copy that is written without a record: all of this delivery is a part of it."""
        self._written = None
        return Wait(step, self._clock.now() - sum(self.elapsed().values()))

    def begin_slot(self, step: str) -> None:
        """It holds a slot once more."""
        self.enter(step)
        self._before, self._spent = self.elapsed(), {}

    def end_slot(self, step: str, total: dict[str, float]) -> None:
        """It holds its slot no more, and is in ``step``. Its seconds by step are added to ``total``."""
        self.enter(step)
        self._again = True
        spent = self._spent
        for name in spent:
            total[name] = total[name] + spent[name] if name in total else spent[name]

    def in_slot(self) -> dict[str, float]:
        """Seconds by step for which it has held its slot."""
        spent, step = {**self._spent}, self.step
        spent[step] = spent.get(step, 0.0) + self._clock.monotonic() - self._since
        return spent


class SideBySide:
    """Gives each of the notifications that a unit sends side by side steps of its own, after those of the unit."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slot = current()
        self._shared = self._slot.elapsed()
        self._since = clock.monotonic()
        self.in_hand: list[SlotSteps] = []

    def notification(self) -> "NotificationSteps":
        """The steps of the next notification, which has waited for its turn until now."""
        shared, now = self._shared, self._clock.monotonic()
        waited = shared.get(QUEUE_WAIT, 0.0) + now - self._since
        steps = NotificationSteps(self, self._clock, shared | {QUEUE_WAIT: waited})
        if self._slot.trace is not None:
            steps.trace = self._slot.trace.beside(now)
        return steps

    def follow(self) -> None:
        """Let the slot be in the step of the notification that counts most."""
        step = min((it.step for it in self.in_hand), key=_rank, default=RECORD)
        if step != self._slot.step:
            self._slot.enter(step)


class NotificationSteps(SlotSteps):
    """The steps of one of several notifications, as a block. The slot is that of the unit."""

    __slots__ = ("_unit",)

    def __init__(self, unit: SideBySide, clock: Clock, before: dict[str, float]) -> None:
        super().__init__(clock, RENDER, clock.monotonic(), before, again=True)
        self._unit = unit

    def enter(self, step: str, now: float | None = None) -> None:
        super().enter(step, now)
        self._unit.follow()

    def __enter__(self) -> None:
        _current.set(self)
        self._unit.in_hand.append(self)
        self._unit.follow()

    def __exit__(self, *_: object) -> None:
        self._unit.in_hand.remove(self)
        self._unit.follow()


def _rank(step: str) -> int:
    return 0 if step.startswith(SEND) else _RANKS.get(step, 1)


class StepClock:
    """Where the time of all slots of this process goes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: set[SlotSteps] = set()
        self._spent: dict[str, float] = {}
        self.traces: Traces | None = None
        """None: traces are off."""

    def take(self, envelope: Envelope, taken: float, steps: SlotSteps | None = None) -> SlotSteps:
        """A delivery begins to hold a slot. ``taken``: since when it waited for that, on the monotonic clock.
        ``steps``: those that it had in an earlier slot.
        """
        step = FIRST[envelope.lane]
        if steps is None:
            now = self._clock.monotonic()
            wait = envelope.wait
            before = {QUEUE_WAIT: envelope.waited + now - taken} if wait is None else self._waits(envelope, wait)
            steps = SlotSteps(self._clock, step, now, before)
            if self.traces is not None:
                steps.trace = self.traces.begin(envelope, step, now)
        else:
            steps.begin_slot(step)
        self._held.add(steps)
        _current.set(steps)
        return steps

    def give(self, steps: SlotSteps, step: str = QUEUE_WAIT) -> None:
        """The delivery gives its slot back, and is in ``step``, where it is not settled."""
        steps.end_slot(step, self._spent)
        self._held.remove(steps)

    def broke_off(self, steps: SlotSteps, why: str) -> None:
        """The delivery of these ``steps`` ends without a record."""
        if self.traces is not None and steps.trace is not None:
            self.traces.broke_off(steps.trace, why)

    def unreported(self, envelope: Envelope, taken: float) -> Wait:
        """The wait of a copy of a delivery that never had a slot. ``taken``: as of ``take``."""
        if envelope.wait is not None:
            return Wait(QUEUE_WAIT, envelope.wait.since)
        return Wait(QUEUE_WAIT, self._clock.now() - envelope.waited - (self._clock.monotonic() - taken))

    def _waits(self, envelope: Envelope, wait: Wait) -> dict[str, float]:
        """Seconds by step for which a parked copy has waited by now."""
        whole = max(self._clock.now() - wait.since, 0.0)
        if wait.step == QUEUE_WAIT:
            return {QUEUE_WAIT: whole}
        # Without a time at which it is due an operator has moved it before that: all of it was its wait.
        waited = min(max(envelope.due - wait.since, 0.0), whole) if envelope.due else whole
        return {wait.step: waited, QUEUE_WAIT: whole - waited}

    def slot_seconds(self) -> Mapping[str, float]:
        """Busy slot-seconds by step since the start, those under way included. Call it on the loop."""
        total = dict(self._spent)
        for steps in self._held:
            for step, seconds in steps.in_slot().items():
                total[step] = total.get(step, 0.0) + seconds
        return total

    def slots(self) -> Mapping[str, int]:
        """Slots in hand now, by step. A step that had a slot before stays, with 0."""
        numbers = dict.fromkeys(self._spent, 0)
        for steps in self._held:
            numbers[steps.step] = numbers.get(steps.step, 0) + 1
        return numbers


class _Timeless:
    """A clock that stands still."""

    def now(self) -> float:
        return 0.0

    monotonic = now

    async def sleep(self, seconds: float) -> None:
        """Nobody sleeps by it."""


class _NoSteps(SlotSteps):
    """Of work that belongs to no delivery, such as a command's. It stays as it is."""

    __slots__ = ()

    def enter(self, step: str, now: float | None = None) -> None:
        """Nothing is in hand."""

    def elapsed(self) -> dict[str, float]:
        return {}


_NOTHING = _NoSteps(_Timeless(), CLAIM, 0.0, {})
_current: ContextVar[SlotSteps] = ContextVar("steps", default=_NOTHING)
current = _current.get
"""The steps of the delivery that this task works on."""
