"""What each field of a work unit does."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import fleet
from tests.e2e.reading import payload, posts_at
from tests.faults.rows import row
from tests.patience import patience, stretched

Make = Callable[..., dict[str, Any]]
LARGEST = 256 * 1024


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def test_the_required_fields_are_enough_and_unknown_ones_are_ignored_up_to_256_kib(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make
) -> None:
    made = unit()
    least = {name: made[name] for name in ("work_unit_id", "organization_id", "incident_id")}
    padding = LARGEST - len(json.dumps(least | {"more": ""}))
    largest = json.dumps(least | {"more": "x" * padding}).encode()
    assert len(largest) == LARGEST
    async with fleet(environment) as (worker,), patience(30):
        await broker.publish([largest])
        await worker.says("unit.done", work_unit_id=made["work_unit_id"])
    [post], [letter] = sandbox.inbox.webhooks, sandbox.inbox.emails
    own = sandbox.world.organizations[made["organization_id"]]["destinations"]
    assert {post.destination_id, letter.recipients[0]} == {own[0]["destination_id"], own[1]["to"]}
    assert payload(post)["type"] == "incident.updated"
    assert payload(post)["data"]["incident"]["incident_id"] == made["incident_id"]


async def test_a_unit_may_be_about_an_intel_request_and_bring_assets(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make
) -> None:
    made = unit()
    incident = sandbox.world.incidents[made["incident_id"]]
    there = {it["asset_id"] for it in incident["assets"]}
    [brought, *_] = (
        it["asset_id"]
        for it in sandbox.world.assets.values()
        if it["organization_id"] == made["organization_id"] and it["asset_id"] not in there
    )
    async with fleet(environment), patience(30):
        await broker.publish([unit(incident_id=None, asset_ids=[brought])])
        await sandbox.inbox.accepts(1)
    data = payload(sandbox.inbox.webhooks[0])["data"]
    assert data["incident"] is None
    assert data["intel_request"]["intel_request_id"] == made["intel_request_id"]
    assert brought in {it["asset_id"] for it in data["assets"]}


async def test_a_unit_reaches_the_destinations_that_it_asks_for_and_that_ask_for_it(
    *, sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make, mail: Make
) -> None:
    organization = sandbox.world.organizations[unit()["organization_id"]]
    organization["destinations"] = [
        hook("all"),
        hook("incidents", events=["incident.*"]),
        hook("created", events=["asset.*", "incident.created"]),
        hook("intel", events=["intel.*"]),
        hook("off", enabled=False),
        mail("noc"),
    ]
    own = {"destinations": [hook("own"), mail("own-noc")]}
    expected = {
        "updated": (unit(event="incident.updated", channels=None), {"all", "incidents"}),
        "created": (unit(event="incident.created"), {"all", "incidents", "created"}),
        "other": (unit(event="intel.answered", destination_ids=["intel", "created"]), {"intel"}),
        "mail": (unit(channels=["email"]), set()),
        "own": (unit(channels=None, **own), {"own"}),
        "own mail": (unit(channels=["email"], **own), set()),
        "off": (unit(destination_ids=["off"]), set()),
        "nobody": (unit(destination_ids=["never-heard-of"]), set()),
    }
    async with fleet(environment) as (worker,), patience(30):
        await broker.publish([made for made, _ in expected.values()])
        await worker.says("unit.done", times=6)
        await worker.says("unit.suppressed", times=2, reason="no_destinations")
    reached = defaultdict(set)
    for post in sandbox.inbox.webhooks:
        reached[payload(post)["data"]["work_unit_id"]].add(post.destination_id)
    assert {name: reached[made["work_unit_id"]] for name, (made, _) in expected.items()} == {
        name: destinations for name, (_, destinations) in expected.items()
    }
    addressed = Counter(it for letter in sandbox.inbox.emails for it in letter.recipients)
    assert addressed == {"noc@example.com": 2, "own-noc@example.com": 2}


async def test_a_unit_is_told_not_before_its_time_and_not_after_it(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    sandbox.inbox.behaviours["retried"].answer = 500
    # All three are to be seen before the first is due, and one is to be sent before it expires, and not again.
    due, end = stretched(3), stretched(4)
    async with fleet(hasty | {"NS_RETRY_SCHEDULE": f"{1.2 * end:.3f}s"}) as (worker,), patience(30):
        not_before, expires_at = soon(due), soon(end)
        early = unit(not_before=not_before.isoformat(), destinations=[hook("early")])
        late = unit(expires_at=soon(-1).isoformat(), destinations=[hook("late")])
        brief = unit(expires_at=expires_at.isoformat(), destinations=[hook("retried")])
        await broker.publish([early, late, brief])
        await worker.says("unit.deferred", reason="not_yet_due")
        await worker.says("unit.suppressed", reason="expired", work_unit_id=late["work_unit_id"])
        await sandbox.inbox.accepts(1)
        await worker.says("notification.suppressed", reason="expired", work_unit_id=brief["work_unit_id"])
    [post] = posts_at(sandbox.inbox, "early")
    assert post.arrived >= not_before.timestamp()
    assert posts_at(sandbox.inbox, "late") == []
    assert len(posts_at(sandbox.inbox, "retried")) == 1
    assert await broker.depth("dead") == 0


@row(86, "one id and fingerprint with another body, and a new fingerprint")
async def test_an_id_with_its_fingerprint_is_told_once_and_with_a_new_fingerprint_again(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    made = unit(destinations=[hook("noc")])
    other = made | {"event": "incident.closed", "destinations": [hook("elsewhere")]}
    async with fleet(environment) as (worker,), patience(30):
        await broker.publish([made])
        await worker.says("unit.done")
        await broker.publish([made, other])
        await worker.says("unit.suppressed", times=2, reason="already_done")
        await broker.publish([made | {"fingerprint": "v2"}])
        await worker.says("unit.done", times=2)
    assert [post.destination_id for post in sandbox.inbox.webhooks] == ["noc", "noc"]
    assert len(sandbox.inbox.accepted) == 2


async def test_the_timestamp_is_when_it_happened_else_the_fingerprint_else_the_subjects_change(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    modified = sandbox.world.incidents[unit()["incident_id"]]["modified"]
    units = {
        "occurred": unit(occurred_at="2026-03-06T09:26:00+01:00", fingerprint="2026-03-05T00:00:00Z"),
        "fingerprint": unit(occurred_at=None, fingerprint="2026-03-05T01:00:00+01:00"),
        "subject": unit(occurred_at=None, fingerprint="v7"),
        "nothing": unit(occurred_at=None, fingerprint=None),
    }
    async with fleet(environment), patience(30):
        await broker.publish([it | {"destinations": [hook(name)]} for name, it in units.items()])
        await sandbox.inbox.accepts(4)
    assert {post.destination_id: payload(post)["timestamp"] for post in sandbox.inbox.webhooks} == {
        "occurred": "2026-03-06T08:26:00Z",
        "fingerprint": "2026-03-05T00:00:00Z",
        "subject": modified,
        "nothing": modified,
    }
