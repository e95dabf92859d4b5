"""Notifications that waited: sent while they are still relevant or nobody knows, else suppressed by their recipe."""

from typing import Any

import pytest

from notification_sender.context.gather import Gatherer
from notification_sender.context.recipe import Recipe
from notification_sender.context.upstream.client import NotFound
from notification_sender.model.errors import ContextUnavailable, SendFailed, Sent
from notification_sender.ports.broker import Lane
from notification_sender.ports.ledger import Key
from tests.context.fakes import CountingSharedCache, cache_of
from tests.faults.rows import row
from tests.virtual import START
from tests.worker.conftest import WorkerHarness

REFUSED = SendFailed("500", sent=Sent.ANSWERED)


class Incidents:
    """What the recipe reads: one incident, and how often it was asked for."""

    def __init__(self) -> None:
        self.organization: Any = {"destinations": [{"destination_id": "hook-0"}]}
        self.status: Any = "open"
        self.calls = 0

    def recipe(self) -> Recipe:
        recipe = Recipe("intel", subject=lambda _: "incident")

        @recipe.fetched(ttl="60s", stale="7d", key=lambda unit: unit.incident_id)
        async def incident(unit: Any) -> Any:
            self.calls += 1
            if isinstance(self.status, Exception):
                raise self.status
            return {"incident_id": unit.incident_id, "status": self.status}

        @recipe.fetched(ttl="60s")
        async def organization() -> Any:
            if isinstance(self.organization, Exception):
                raise self.organization
            return self.organization

        @recipe.fetched(ttl="60s", optional=True)
        async def outlook(incident: Any) -> Any:
            return None if incident["status"] != "unclear" else await self._fail()

        @recipe.outdated(after="10m")
        def resolved(incident: Any, outlook: Any) -> bool:
            return bool(1 / (incident["status"] != "odd")) and incident["status"] == "resolved" and not outlook

        return recipe

    async def _fail(self) -> Any:
        raise ContextUnavailable("outlook: 503")


@pytest.fixture
def incidents(harness: WorkerHarness) -> Incidents:
    incidents = Incidents()
    cache = cache_of(harness.clock, CountingSharedCache(harness.clock))
    harness.gatherers["intel"] = Gatherer(recipe=incidents.recipe(), resources={}, cache=cache, timeout=20.0)
    return incidents


def offsets(harness: WorkerHarness) -> list[float]:
    return [round(moment - START) for moment, _ in harness.channel.sends]


def outcomes(harness: WorkerHarness, outcome: str, reason: str) -> float | None:
    labels = {"what": "notification", "outcome": outcome, "reason": reason}
    return harness.metrics.registry.get_sample_value("notification_sender_outcomes_total", labels)


async def test_what_comes_back_stale_is_suppressed_and_its_record_says_why(
    harness: WorkerHarness, incidents: Incidents
) -> None:
    harness.channel.ends.extend([REFUSED] * 3)
    await harness.publish()
    await harness.clock.until(lambda: len(harness.channel.sends) == 3)
    incidents.status = "resolved"
    await harness.clock.until(harness.idle)
    assert offsets(harness) == [0, 5, 305]
    assert outcomes(harness, "suppressed", "no_longer_relevant") == 1
    record = harness.memory.records[Key("org-1", "notification", harness.channel.sends[0][1].notification_id)]
    assert (record.state, record.text) == ("suppressed", "no_longer_relevant:resolved hook-0")
    await harness.broker.publish(harness.channel.sends[0][1].encode(), lane=Lane.NOTIFICATIONS)
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 3


async def test_what_still_matters_is_sent_and_nobody_is_asked_before_its_time(
    harness: WorkerHarness, incidents: Incidents
) -> None:
    harness.channel.ends.extend([REFUSED] * 3)
    await harness.publish()
    await harness.clock.until(lambda: len(harness.channel.sends) == 3)
    assert incidents.calls == 0
    await harness.clock.until(harness.idle)
    assert offsets(harness) == [0, 5, 305, 2105]
    assert incidents.calls == 1


@pytest.mark.parametrize(
    "trouble",
    [ContextUnavailable("incidents: 503"), NotFound("incidents: 404"), "odd", "unclear"],
    ids=["away", "deleted", "bug", "optional fact missing"],
)
async def test_where_nobody_can_tell_it_is_sent_and_counted(
    harness: WorkerHarness, incidents: Incidents, trouble: Any
) -> None:
    harness.channel.ends.extend([REFUSED] * 3)
    await harness.publish()
    await harness.clock.until(lambda: len(harness.channel.sends) == 3)
    incidents.status = trouble
    await harness.clock.until(harness.idle)
    assert offsets(harness) == [0, 5, 305, 2105]
    unknown = harness.metrics.registry.get_sample_value(
        "notification_sender_relevance_unknown_total", {"kind": "intel"}
    )
    assert unknown == 1


REMOVED = {
    "taken away": {"destinations": [{"destination_id": "hook-1"}]},
    "all taken away": {},
    "switched off": {"destinations": [{"destination_id": "hook-0", "enabled": False}]},
}


@row(70, "endpoint deleted in mid-retry")
@pytest.mark.parametrize("organization", REMOVED.values(), ids=REMOVED)
async def test_what_waits_for_a_destination_that_its_organization_took_away_is_not_sent_any_more(
    harness: WorkerHarness, incidents: Incidents, organization: Any
) -> None:
    harness.composer.listed = True
    harness.channel.ends.extend([REFUSED] * 3)
    await harness.publish()
    await harness.clock.until(lambda: len(harness.channel.sends) == 2)
    incidents.organization = organization
    await harness.clock.until(harness.idle)
    assert offsets(harness) == [0, 5]
    assert outcomes(harness, "suppressed", "destination_removed") == 1


@pytest.mark.parametrize("listed", [True, False], ids=["nobody can tell", "given by the unit"])
async def test_what_its_organization_may_still_have_or_never_had_is_sent(
    harness: WorkerHarness,
    incidents: Incidents,
    listed: bool,  # noqa: FBT001 - a table
) -> None:
    harness.composer.listed = listed
    incidents.organization = ContextUnavailable("aaa: 503") if listed else {}
    harness.channel.ends.extend([REFUSED] * 2)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert offsets(harness) == [0, 5, 305]
