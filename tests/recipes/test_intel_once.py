"""Each fact is fetched once by the whole fleet, also where the API has none, or only an old one."""

from collections.abc import Callable

import httpx
import pytest

from notification_sender.model.errors import ContextUnavailable, SubjectNotFound
from tests.recipes.api import LATER, MODIFIED, Bench, Platform, edge, small_world, unit

LATEST = "2026-03-06T08:26:05Z"
"""Five seconds after the clock of the tests starts."""

SLOW = {
    "token": 1,
    "organization": 1,
    "current": 1,
    "incident": 1,
    "intel-requests/bulk": 1,
    "assets/bulk": 1,
    "reverse": 1,
}


def without_entry() -> Platform:
    platform = small_world(fast=True)
    platform.entry = None
    platform.incident["modified"] = LATER
    return platform


def with_old_entry() -> Platform:
    platform = small_world(fast=True)
    platform.incident = platform.incident | {"modified": LATER}
    return platform


@pytest.mark.parametrize("world", [without_entry, with_old_entry])
async def test_units_of_one_incident_without_an_entry_of_use_call_each_endpoint_once(
    world: Callable[[], Platform],
) -> None:
    platform = world()
    bench = Bench(platform)
    for number in range(20):
        if number % 5 == 4:
            bench.forget_process()
        bench.clock.time += 1
        context = await bench.gatherer.gather(unit(work_unit_id=f"wu-{number}", fingerprint=LATER))
        assert (context.values["incident"]["modified"], context.degraded) == (LATER, [])
    assert platform.calls == SLOW
    bench.clock.time += 10
    await bench.gatherer.gather(unit(fingerprint=LATER))
    assert platform.calls == SLOW | {"current": 2}, "after 30 s it is asked for again"


@pytest.mark.parametrize("world", [without_entry, with_old_entry])
async def test_an_event_since_then_asks_again(world: Callable[[], Platform]) -> None:
    platform = world()
    bench = Bench(platform)
    await bench.gatherer.gather(unit(fingerprint=LATER))
    incident = platform.incident | {"modified": LATEST}
    platform.entry = {"incident": incident, "assets": [], "intel_requests": [], "parent_intel_requests": []}
    bench.clock.time += 6
    context = await bench.gatherer.gather(unit(fingerprint=LATEST))
    assert context.values["incident"]["modified"] == LATEST
    assert (platform.calls["current"], platform.calls["incident"]) == (2, 1)


async def test_a_subject_that_is_not_there_is_asked_for_in_every_try_and_its_entry_once() -> None:
    platform = without_entry()
    bench = Bench(platform)
    for delay in (0, 1, 3):
        bench.clock.time += delay
        with pytest.raises(SubjectNotFound):
            await bench.gatherer.gather(unit(incident_id="nowhere"))
        bench.forget_process()
    assert (platform.calls["current"], platform.calls["incident"]) == (1, 3)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_trouble_with_an_entry_is_not_remembered(status: int) -> None:
    platform = small_world(fast=True)
    bench = Bench(platform)
    platform.answers = {"current": lambda _: httpx.Response(status)}
    with pytest.raises(ContextUnavailable):
        await bench.gatherer.gather(unit())
    platform.answers = {}
    await bench.gatherer.gather(unit())
    assert platform.calls["incident"] == 0


async def test_a_refusal_that_is_remembered_ends_as_the_one_that_was_heard() -> None:
    platform = small_world(fast=False)
    bench = Bench(platform)
    platform.answers = {"organization": lambda _: httpx.Response(404)}
    heard = "^organization: aaa GET /organizations/{} of acme answered 404$"
    for _ in range(5):
        with pytest.raises(ContextUnavailable, match=heard):
            await bench.gatherer.gather(unit())
        bench.forget_process()
    assert platform.calls["organization"] == 1


async def test_what_is_absent_beside_the_subject_degrades_each_unit_and_is_asked_for_once() -> None:
    platform = small_world(fast=False)
    bench = Bench(platform)
    for _ in range(5):
        context = await bench.gatherer.gather(unit(intel_request_id="nowhere"))
        assert context.degraded == ["intel_request"]
    assert platform.calls["intel_request"] == 1


async def test_ids_that_a_bulk_call_leaves_out_are_asked_for_once() -> None:
    platform = small_world(fast=False)
    platform.incident["dependents"] += [edge("gone", "inc", 1)]
    platform.incident["assets"] += [{"asset_id": "gone"}]
    bench = Bench(platform)
    for number in range(5):
        context = await bench.gatherer.gather(unit(fingerprint=MODIFIED))
        assert [row["intel_request_id"] for row in context.values["intel_requests"]] == ["direct"]
        if number % 2:
            bench.forget_process()
    assert (platform.calls["intel-requests/bulk"], platform.calls["assets/bulk"]) == (1, 1)
