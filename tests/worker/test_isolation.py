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

OTHERS = 20
"""Units of other organizations, published behind the flood of one."""


def took(body: Any, organization: str) -> list[float]:
    """When its sends began, in seconds from the start."""
    return [moment - START for moment, it in body.channel.sends if it.organization_id.startswith(organization)]


def reasons(body: Any) -> list[str]:
    return [message.headers["x-reason"] for message in body.broker.dead]


def slow(organization: str, seconds: float) -> Callable[[Notification], float]:
    return lambda it: seconds if it.organization_id == organization else 0.0


def hook(name: str) -> dict[str, str]:
    return {"destination_id": name, "channel": "webhook", "url": f"https://{name}.example/x"}


async def flood(body: Any, number: int, organization: str = "org-flood", hooks: int = 4) -> None:
    """Units of one organization, each for one of its destinations by turns."""
    for place in range(number):
        told = [hook(f"hook-{place % hooks}")]
        await body.publish(work_unit_id=f"wu-{place}", organization_id=organization, destinations=told)


async def test_a_flood_of_a_slow_organization_holds_up_nobody_else(body: Any) -> None:
    body.channel.takes = slow("org-flood", 15.0)
    await flood(body, 2000)
    for number in range(OTHERS):
        await flood(body, 1, f"other-{number}")
    await body.clock.until(lambda: len(took(body, "other")) == OTHERS)
    assert max(took(body, "other")) < 1.0
    assert body.channel.most_in_flight <= 100


async def test_of_what_a_slow_core_allows_a_slow_organization_holds_a_share_too(body: Any) -> None:
    body.heart.allow(20, shared=20, taken=400)
    body.channel.takes = slow("org-flood", 15.0)
    await flood(body, 200)
    for number in range(OTHERS):
        await flood(body, 1, f"other-{number}")
    await body.clock.until(lambda: len(took(body, "other")) == OTHERS)
    assert max(took(body, "other")) < 1.0
    assert body.channel.most_in_flight <= 10


async def test_a_throttled_backlog_of_one_organization_loses_nothing_of_its_rate(body: Any) -> None:
    body.limits.append(Limit.per("webhook", 50, 1, 1))
    compose = body.composer.compose

    async def slowly(unit: WorkUnit) -> Any:
        await body.clock.sleep(0.02)
        return await compose(unit)

    body.composer.compose = slowly
    await flood(body, 2000)
    await body.clock.until(body.idle)
    assert "organization_full" in body.metrics.expose().decode()
    assert body.clock.now() - START < 1.05 * 2000 / 50


@pytest.mark.parametrize(("hooks", "slots"), [(4, 100), (1, 50)])
async def test_what_is_slow_is_through_about_as_soon_as_its_share_allows(body: Any, hooks: int, slots: int) -> None:
    body.channel.takes = slow("org-flood", 2.0)
    await flood(body, 1000, hooks=hooks)
    await body.clock.until(body.idle)
    assert len(took(body, "org-flood")) == 1000
    assert body.channel.most_in_flight == slots
    assert body.clock.now() - START < 1.3 * 1000 * 2.0 / slots


async def test_a_fast_backlog_of_one_organization_is_never_parked_and_may_use_every_slot(body: Any) -> None:
    body.channel.takes = slow("org-flood", 0.2)
    await flood(body, 2000)
    await body.clock.until(body.idle)
    assert body.channel.most_in_flight == 200
    assert body.clock.now() - START < 2000 * 0.2 / 200 + 0.5
    assert "organization_full" not in body.metrics.expose().decode()


async def test_one_destination_that_hangs_leaves_the_others_of_its_organization_alone(body: Any) -> None:
    published: dict[str, float] = {}
    body.channel.takes = lambda it: 15.0 if it.destination.destination_id == "hangs" else 0.05

    async def publish() -> None:
        for place in range(2000):
            name = "hangs" if place % 2 else f"well-{place}"
            published[f"wu-{place}"] = body.clock.now()
            await body.publish(work_unit_id=f"wu-{place}", organization_id="org", destinations=[hook(name)])
            await body.clock.sleep(0.01)

    await body.clock.until(asyncio.create_task(publish()).done)
    waits = [
        at - published[it.work_unit_id] for at, it in body.channel.sends if it.destination.destination_id != "hangs"
    ]
    assert len(waits) == 1000
    assert max(waits) < 0.01
    assert 50 <= body.channel.most_in_flight <= 60


DOWN = SendFailed("no answer", sent=Sent.NOTHING, ill=True)


class Host:
    """What hook-0 is at: fails after ``seconds`` while it is ``down``. Who came, by time."""

    def __init__(self, body: Any, seconds: float = 5.0) -> None:
        self._clock = body.clock
        self._seconds = seconds
        self.down: Exception | None = DOWN
        self.came: list[float] = []
        body.channel.takes, body.channel.fails = self._takes, self._fails

    def _takes(self, notification: Notification) -> float:
        if notification.destination.destination_id != "hook-0":
            return 0.0
        self.came.append(self._clock.now() - START)
        return self._seconds if self.down else 0.0

    def _fails(self, notification: Notification) -> Exception | None:
        return self.down if notification.destination.destination_id == "hook-0" else None


async def test_a_host_that_fails_is_left_alone_by_the_whole_fleet_but_for_one_probe_and_comes_back(body: Any) -> None:
    host, other = Host(body, seconds=5.0), body.another()
    await other.start()
    await flood(body, 200, hooks=2)
    await body.clock.until(lambda: body.clock.now() - START > 600)
    assert len(took(body, "org-flood")) - len(host.came) == 100
    probes = [it for it in host.came if it > 120]
    assert 5 <= len(probes) <= 8
    assert min(later - sooner for sooner, later in pairwise(probes)) > 55
    host.down = None
    await body.clock.until(body.idle)
    assert len({it.notification_id for _, it in body.channel.sends}) == 200
    assert reasons(body) == []
    assert body.clock.now() - START < 1000
    await other.close(0.0)


async def test_those_who_wait_for_a_host_use_no_attempt_and_do_not_come_back_in_one_instant(body: Any) -> None:
    host = Host(body)
    await flood(body, 150, hooks=1)
    await body.clock.until(lambda: body.clock.now() - START > 20)
    host.down, back = None, body.clock.now()
    await body.clock.until(body.idle)
    came = [(at, it) for at, it in body.channel.sends if at >= back]
    assert len([it for _, it in came if it.attempt == 1]) >= 150 - 55
    per_second = Counter(int(at) for at, _ in came)
    assert max(per_second.values()) <= 51


async def test_a_host_that_refuses_every_first_try_at_once_keeps_nobody_longer_than_the_schedule_says(
    body: Any,
) -> None:
    tried: set[str] = set()

    def first(notification: Notification) -> Exception | None:
        known = notification.notification_id in tried
        tried.add(notification.notification_id)
        return None if known else DOWN

    body.channel.fails = first
    await flood(body, 400, hooks=1)
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 800
    assert body.clock.now() - START < 10


async def test_what_hangs_for_longer_than_the_whole_schedule_is_tried_as_that_says_and_then_dead(body: Any) -> None:
    Host(body)
    await flood(body, 60, hooks=1)
    await body.clock.until(lambda: len(body.broker.dead) == 60)
    assert reasons(body) == ["exhausted"] * 60
    assert body.clock.now() - START < 3 * (5 + 300 + 1800)


async def test_a_probe_whose_turn_is_not_used_is_given_back(body: Any) -> None:
    host = Host(body)
    await flood(body, 60, hooks=1)
    await body.clock.until(lambda: body.clock.now() - START > 20)
    body.limits.append(Limit.per("webhook", 1, 3600, 1))
    host.down = None
    before = len(host.came)
    await body.clock.until(lambda: len(host.came) > before + 1)
    body.limits.clear()
    await body.clock.until(body.idle)


async def test_a_service_that_asks_for_less_is_left_alone_by_all_for_so_long(body: Any) -> None:
    host, other = Host(body, seconds=0.0), body.another()
    await other.start()
    host.down = SlowDown("421 too much", seconds=30.0)
    await flood(body, 1, hooks=1)
    await body.clock.until(lambda: len(host.came) == 1)
    host.down = None
    await flood(body, 50, "another", hooks=1)
    await body.clock.until(body.idle)
    assert [it for it in host.came if it < 30] == [0.0]
    assert len(host.came) == 52
    assert max(it.attempt for _, it in body.channel.sends) == 1
    await other.close(0.0)


async def test_what_waits_for_a_host_until_it_is_too_old_is_dead(body: Any) -> None:
    host = Host(body)
    await flood(body, 60, hooks=1)
    await body.clock.until(lambda: body.clock.now() - START > 20)
    long_ago = datetime.fromtimestamp(START - 8 * 86_400, UTC).isoformat()
    old = {"work_unit_id": "old", "organization_id": "org-flood", "destinations": [hook("hook-0")]}
    tried = len(host.came)
    await body.publish(**old, headers={"x-first-seen": long_ago})
    await body.clock.until(lambda: body.broker.dead)
    assert reasons(body) == ["exhausted"]
    assert len(host.came) <= tried + 2  # this one, and one that finds out
