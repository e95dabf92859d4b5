"""Whoever is slow waits for itself, and nobody else waits for it."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from notification_sender.model.errors import SendFailed, Sent, SlowDown
from notification_sender.model.notification import Notification
from notification_sender.model.unit import WorkUnit
from notification_sender.policy.limits import Limit
from tests.virtual import START
from tests.worker.conftest import WorkerHarness

OTHERS = 20
"""Units of other organizations, published behind the flood of one."""


def took(harness: WorkerHarness, organization: str) -> list[float]:
    """When its sends began, in seconds from the start."""
    return [moment - START for moment, it in harness.channel.sends if it.organization_id.startswith(organization)]


def reasons(harness: WorkerHarness) -> list[str]:
    return [message.headers["x-reason"] for message in harness.broker.dead]


def slow(organization: str, seconds: float) -> Callable[[Notification], float]:
    return lambda it: seconds if it.organization_id == organization else 0.0


def hook(name: str) -> dict[str, str]:
    return {"destination_id": name, "channel": "webhook", "url": f"https://{name}.example/x"}


async def flood(harness: WorkerHarness, number: int, organization: str = "org-flood", hooks: int = 4) -> None:
    """Units of one organization, each for one of its destinations by turns."""
    for place in range(number):
        told = [hook(f"hook-{place % hooks}")]
        await harness.publish(work_unit_id=f"wu-{place}", organization_id=organization, destinations=told)


async def test_a_flood_of_a_slow_organization_holds_up_nobody_else(harness: WorkerHarness) -> None:
    harness.channel.takes = slow("org-flood", 15.0)
    await flood(harness, 2000)
    for number in range(OTHERS):
        await flood(harness, 1, f"other-{number}")
    await harness.clock.until(lambda: len(took(harness, "other")) == OTHERS)
    assert max(took(harness, "other")) < 1.0
    assert harness.channel.most_in_flight <= 100


async def test_of_what_a_slow_core_allows_a_slow_organization_holds_a_share_too(harness: WorkerHarness) -> None:
    harness.worker.allow(20, shared=20, taken=400)
    harness.channel.takes = slow("org-flood", 15.0)
    await flood(harness, 200)
    for number in range(OTHERS):
        await flood(harness, 1, f"other-{number}")
    await harness.clock.until(lambda: len(took(harness, "other")) == OTHERS)
    assert max(took(harness, "other")) < 1.0
    assert harness.channel.most_in_flight <= 10


@pytest.mark.long
async def test_a_throttled_backlog_of_one_organization_loses_nothing_of_its_rate(harness: WorkerHarness) -> None:
    harness.limits.append(Limit.per("webhook", 50, 1, 1))
    compose = harness.composer.compose

    async def slowly(unit: WorkUnit) -> Any:
        await harness.clock.sleep(0.02)
        return await compose(unit)

    harness.composer.compose = slowly
    await flood(harness, 2000)
    await harness.clock.until(harness.idle)
    assert "organization_full" in harness.metrics.expose().decode()
    assert harness.clock.now() - START < 1.05 * 2000 / 50


@pytest.mark.parametrize(("hooks", "slots"), [(4, 100), (1, 50)])
async def test_what_is_slow_is_through_about_as_soon_as_its_share_allows(
    harness: WorkerHarness, hooks: int, slots: int
) -> None:
    harness.channel.takes = slow("org-flood", 2.0)
    await flood(harness, 1000, hooks=hooks)
    await harness.clock.until(harness.idle)
    assert len(took(harness, "org-flood")) == 1000
    assert harness.channel.most_in_flight == slots
    assert harness.clock.now() - START < 1.3 * 1000 * 2.0 / slots


@pytest.mark.long
async def test_a_fast_backlog_of_one_organization_is_never_parked_and_may_use_every_slot(
    harness: WorkerHarness,
) -> None:
    harness.channel.takes = slow("org-flood", 0.2)
    await flood(harness, 2000)
    await harness.clock.until(harness.idle)
    assert harness.channel.most_in_flight == 200
    assert harness.clock.now() - START < 2000 * 0.2 / 200 + 0.5
    assert 'reason="organization_full"' not in harness.metrics.expose().decode()


async def test_one_destination_that_hangs_leaves_the_others_of_its_organization_alone(harness: WorkerHarness) -> None:
    published: dict[str, float] = {}
    harness.channel.takes = lambda it: 15.0 if it.destination.destination_id == "hangs" else 0.05

    async def publish() -> None:
        for place in range(2000):
            name = "hangs" if place % 2 else f"well-{place}"
            published[f"wu-{place}"] = harness.clock.now()
            await harness.publish(work_unit_id=f"wu-{place}", organization_id="org", destinations=[hook(name)])
            await harness.clock.sleep(0.01)

    await harness.clock.until(asyncio.create_task(publish()).done)
    waits = [
        at - published[it.work_unit_id] for at, it in harness.channel.sends if it.destination.destination_id != "hangs"
    ]
    assert len(waits) == 1000
    assert max(waits) < 0.01
    assert 50 <= harness.channel.most_in_flight <= 60


DOWN = SendFailed("no answer", sent=Sent.NOTHING, ill=True)


class Host:
    """What hook-0 is at: fails after ``seconds`` while it is ``down``. Who came, by time."""

    def __init__(self, harness: WorkerHarness, seconds: float = 5.0) -> None:
        self._clock = harness.clock
        self._seconds = seconds
        self.down: Exception | None = DOWN
        self.came: list[float] = []
        harness.channel.takes, harness.channel.fails = self._takes, self._fails

    def _takes(self, notification: Notification) -> float:
        if notification.destination.destination_id != "hook-0":
            return 0.0
        self.came.append(self._clock.now() - START)
        return self._seconds if self.down else 0.0

    def _fails(self, notification: Notification) -> Exception | None:
        return self.down if notification.destination.destination_id == "hook-0" else None


async def test_a_host_that_fails_is_left_alone_by_the_whole_fleet_but_for_one_probe_and_comes_back(
    harness: WorkerHarness,
) -> None:
    host, other = Host(harness, seconds=5.0), harness.another()
    await other.start()
    await flood(harness, 200, hooks=2)
    await harness.clock.until(lambda: harness.clock.now() - START > 600)
    assert len(took(harness, "org-flood")) - len(host.came) == 100
    probes = [it for it in host.came if it > 120]
    assert 5 <= len(probes) <= 8
    assert min(later - sooner for sooner, later in pairwise(probes)) > 55
    host.down = None
    await harness.clock.until(harness.idle)
    assert len({it.notification_id for _, it in harness.channel.sends}) == 200
    assert reasons(harness) == []
    assert max(at - START for at, it in harness.channel.sends if it.attempt == 1) < 700
    await other.close(0.0)


async def test_those_who_wait_for_a_host_use_no_attempt_and_do_not_come_back_in_one_instant(
    harness: WorkerHarness,
) -> None:
    host = Host(harness)
    await flood(harness, 150, hooks=1)
    await harness.clock.until(lambda: harness.clock.now() - START > 20)
    host.down, back = None, harness.clock.now()
    await harness.clock.until(harness.idle)
    came = [(at, it) for at, it in harness.channel.sends if at >= back]
    assert len([it for _, it in came if it.attempt == 1]) >= 150 - 55
    per_second = Counter(int(at) for at, _ in came)
    assert max(per_second.values()) <= 53  # a probe and one by the schedule, beside 50 that waited


async def test_a_host_that_refuses_every_first_try_at_once_keeps_nobody_longer_than_the_schedule_says(
    harness: WorkerHarness,
) -> None:
    tried: set[str] = set()

    def first(notification: Notification) -> Exception | None:
        known = notification.notification_id in tried
        tried.add(notification.notification_id)
        return None if known else DOWN

    harness.channel.fails = first
    await flood(harness, 400, hooks=1)
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 800
    assert harness.clock.now() - START < 10


@pytest.mark.long
async def test_what_hangs_for_longer_than_the_whole_schedule_is_tried_as_that_says_and_then_dead(
    harness: WorkerHarness,
) -> None:
    Host(harness)
    await flood(harness, 60, hooks=1)
    await harness.clock.until(lambda: len(harness.broker.dead) == 60)
    assert reasons(harness) == ["exhausted"] * 60
    assert harness.clock.now() - START < 3 * (5 + 300 + 1800)


async def test_a_probe_whose_turn_is_not_used_is_given_back(harness: WorkerHarness) -> None:
    host = Host(harness)
    await flood(harness, 60, hooks=1)
    await harness.clock.until(lambda: harness.clock.now() - START > 20)
    harness.limits.append(Limit.per("webhook", 1, 3600, 1))
    host.down = None
    before = len(host.came)
    await harness.clock.until(lambda: len(host.came) > before + 1)
    harness.limits.clear()
    await harness.clock.until(harness.idle)


async def test_a_service_that_asks_for_less_is_left_alone_by_all_for_so_long(harness: WorkerHarness) -> None:
    host, other = Host(harness, seconds=0.0), harness.another()
    await other.start()
    host.down = SlowDown("421 too much", seconds=30.0)
    await flood(harness, 1, hooks=1)
    await harness.clock.until(lambda: len(host.came) == 1)
    host.down = None
    await flood(harness, 50, "another", hooks=1)
    await harness.clock.until(harness.idle)
    assert [it for it in host.came if it < 30] == [0.0]
    assert len(host.came) == 52
    assert max(it.attempt for _, it in harness.channel.sends) == 1
    await other.close(0.0)


async def test_what_waits_for_a_host_until_it_is_too_old_is_dead(harness: WorkerHarness) -> None:
    host = Host(harness)
    await flood(harness, 60, hooks=1)
    await harness.clock.until(lambda: harness.clock.now() - START > 20)
    long_ago = datetime.fromtimestamp(START - 8 * 86_400, UTC).isoformat()
    old = {"work_unit_id": "old", "organization_id": "org-flood", "destinations": [hook("hook-0")]}
    tried = len(host.came)
    await harness.publish(**old, headers={"x-first-seen": long_ago})
    await harness.clock.until(lambda: harness.broker.dead)
    assert reasons(harness) == ["exhausted"]
    assert len(host.came) <= tried + 2  # this one, and one that finds out
