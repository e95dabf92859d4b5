"""Whoever is slow waits for itself, and nobody else waits for it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from virtual import START

from notification_sender.model.notification import Notification

OTHERS = 20
"""Units of other organizations, published behind the flood of one."""


def took(body: Any, organization: str) -> list[float]:
    """When its sends began, in seconds from the start."""
    return [moment - START for moment, it in body.channel.sends if it.organization_id.startswith(organization)]


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
