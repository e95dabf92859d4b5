"""Each second of a notification, from first sight to end, belongs to one step; and each second of a slot as well."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from notification_sender.model.errors import ContextUnavailable, SendFailed, Sent
from notification_sender.model.notification import Notification
from notification_sender.model.unit import WorkUnit
from notification_sender.policy.limits import Limit
from notification_sender.ports.broker import Parked
from notification_sender.telemetry import log
from notification_sender.telemetry.steps import CONTEXT, current
from tests.virtual import START, VirtualClock
from tests.worker.conftest import WorkerHarness

Line = MutableMapping[str, Any]

REFUSED = SendFailed("503", sent=Sent.ANSWERED, status=503)
AWAY = ContextUnavailable("incident: no answer")

LIMIT = Limit.per("webhook", 2, 1, 3)

SLICED = 5
"""A seed with which no work unit is deferred."""

EXACT = 1.1
"""ms: ``x-first-seen`` has whole ones, and ages have tenths. Each step of a line is rounded to a hundredth."""


@pytest.fixture(autouse=True)
def _logged() -> Iterator[None]:
    log.configure(form="json", level="info")
    yield
    log.configure(form="json", level="warning")


class Slow(WorkerHarness):
    """Whatever the worker waits for takes a while, by ``dice``, and some of it fails at first."""

    def __init__(self, dice: random.Random, **pace: Any) -> None:
        super().__init__(VirtualClock(), **pace)
        self.dice = dice
        self.channel.takes = lambda _: self._seconds()
        self.channel.fails = self._fails
        self._failed: set[str] = set()
        self._compose = self.composer.compose
        self.composer.compose = self._gather  # type: ignore[method-assign]
        self._park = self.broker.park
        self.broker.park = self._confirm  # type: ignore[method-assign]
        self.held = 0.0
        """Slot-seconds, counted in the slots."""
        self._counted = self.clock.monotonic()
        for name in ("take", "give"):
            self._count(name)

    def _seconds(self) -> float:
        return self.dice.choice((0.0, 0.003, 0.2, 4.0)) * self.dice.random()

    def _fails(self, notification: Notification) -> Exception | None:
        if self.dice.random() < 0.3 and notification.notification_id not in self._failed:
            self._failed.add(notification.notification_id)
            return REFUSED
        return None

    async def _gather(self, unit: WorkUnit) -> Any:
        steps = current()
        before = steps.step
        for source in ("organization", "incident"):
            steps.enter(CONTEXT + source)
            await self.clock.sleep(self._seconds())
        steps.enter(before)
        if unit.work_unit_id not in self._failed and self.dice.random() < 0.2:
            self._failed.add(unit.work_unit_id)
            raise AWAY
        return await self._compose(unit)

    async def _confirm(self, parked: Parked) -> None:
        await self.clock.sleep(self._seconds())
        await self._park(parked)
        await self.clock.sleep(self._seconds())

    def _count(self, name: str) -> None:
        slots = self.worker.slots
        method = getattr(slots, name)

        def counted(*args: Any) -> Any:
            now = self.clock.monotonic()
            self.held += (now - self._counted) * sum(slots.held.values())
            self._counted = now
            return method(*args)

        setattr(slots, name, counted)


async def mixed(
    seed: int, units: int, slots: int, destinations: Sequence[int] = (1, 1, 1, 3, 12), limit: Limit = LIMIT
) -> tuple[Slow, list[Line]]:
    dice = random.Random(seed)
    harness = Slow(dice, concurrency=slots)
    harness.limits.append(limit)
    await harness.worker.start()
    with capture_logs() as lines:
        for number in range(units):
            await harness.publish(work_unit_id=f"wu-{number}", destinations=dice.choice(destinations))
        await harness.clock.until(harness.idle)
    await harness.worker.close(0.0)
    await harness.broker.close()
    return harness, lines


def check_sums(lines: list[Line]) -> None:
    """The lines of each notification have all of its time."""
    for story in by_notification(lines).values():
        # A deferral is logged when its copy is confirmed: that copy may have ended by then.
        [end] = [it for it in story if it["event"] == "notification.delivered"]
        assert sum(spent(story).values()) == pytest.approx(end["age_ms"], abs=EXACT + 0.05 * len(story))


def by_notification(lines: list[Line]) -> dict[str, list[Line]]:
    """The lines about each notification, those of its unit before it first."""
    stories: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if "notification_id" in line:
            stories[line["notification_id"]].append(line)
    units = [it for it in lines if it["event"] == "unit.deferred"]
    return {
        name: [it for it in units if it["work_unit_id"] == own[0]["work_unit_id"]] + own
        for name, own in stories.items()
    }


def spent(lines: list[Line]) -> Mapping[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for line in lines:
        for step, milliseconds in line.get("steps_ms", {}).items():
            sums[step] += milliseconds
    return sums


@pytest.mark.long
@given(seed=st.integers(0, 2**32), units=st.integers(1, 12), slots=st.integers(1, 12))
def test_the_steps_of_a_notification_are_its_time_and_those_of_the_slots_are_theirs(
    seed: int, units: int, slots: int
) -> None:
    harness, lines = asyncio.run(mixed(seed, units, slots))
    check_sums(lines)
    steps = harness.worker.lanes.steps
    assert sum(steps.slot_seconds().values()) == pytest.approx(harness.held)
    assert set(steps.slots().values()) <= {0}


def test_a_notification_of_a_slice_has_waited_since_its_unit_was_taken() -> None:
    ample = Limit.per("webhook", 1000, 1, 1000)
    _, lines = asyncio.run(mixed(SLICED, units=1, slots=200, destinations=[80], limit=ample))
    assert len(by_notification(lines)) == 80
    assert "unit.deferred" not in {it["event"] for it in lines}
    check_sums(lines)


async def test_of_notifications_side_by_side_the_slot_sends_while_one_is_sent() -> None:
    harness = WorkerHarness(VirtualClock())
    await harness.worker.start()
    seen: list[Mapping[str, int]] = []
    harness.channel.takes = lambda it: float(it.destination.destination_id[-1])

    async def waits() -> None:
        """Before the first byte of the first of them, which is then sent for 0 s."""
        await harness.clock.sleep(5.0)
        seen.append(dict(harness.worker.lanes.steps.slots()))

    harness.channel.before.append(waits)
    await harness.publish(destinations=3)
    await harness.clock.until(harness.idle)
    await harness.worker.close(0.0)
    await harness.broker.close()
    assert [{step: number for step, number in it.items() if number} for it in seen] == [{"send.webhook": 1}]
    assert harness.worker.lanes.steps.slot_seconds()["send.webhook"] == pytest.approx(5.0)


async def test_what_waited_in_the_queue_waited_from_its_publication_on(harness: WorkerHarness) -> None:
    harness.channel.takes = lambda _: 1.5
    with capture_logs() as lines:
        await harness.publish(headers={"timestamp_in_ms": int(1000 * (START - 20))})
        await harness.clock.until(harness.idle)
    [line] = lines
    assert line["steps_ms"] == {"queue_wait": 20_000.0, "send.webhook": 1500.0}
    labels = {"stage": "end_to_end"}
    assert harness.metrics.registry.get_sample_value("notification_sender_stage_seconds_sum", labels) == 21.5
