"""What the worker asks our own platform for, and what a unit becomes while the platform is unwell."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest

from notification_sender.sandbox.platform.endpoints import Endpoint
from notification_sender.sandbox.platform.platform import CLIENT_ID, CLIENT_SECRET, PRIVATE
from notification_sender.sandbox.platform.tokens import origin
from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import fleet
from tests.e2e.reading import degraded, headers, payload, posts_at, reasons
from tests.faults.rows import row
from tests.patience import patience, patient

Make = Callable[..., dict[str, Any]]
INTERNAL = set(Endpoint) - {Endpoint.TOKEN, Endpoint.REVERSE, Endpoint.CURRENT_OF_ORGANIZATION, Endpoint.UNKNOWN}
AN_HOUR_AGO = (datetime.now(UTC) - timedelta(hours=1)).isoformat()


@pytest.mark.parametrize(
    ("mode", "fast", "slow"),
    [("auto", {0, 1, 4}, {0, 1, 2, 3}), ("on", {0, 1, 2, 3, 4}, {0, 1}), ("off", set(), {0, 1, 2, 3, 4})],
)
async def test_the_fast_path_is_taken_where_the_organization_or_the_setting_says_so(
    *,
    sandbox: Sandbox,
    environment: dict[str, str],
    broker: Broker,
    hook: Make,
    about: Make,
    mode: str,
    fast: set[int],
    slow: set[int],
) -> None:
    # Organizations 0, 1 and 4 say yes, 2 says no, 3 says nothing; of 0 there is no entry, and the one of 1 is old.
    settings = {"NS_CURRENT_INCIDENTS": mode, "NS_MAX_DISTANCE": "2"}
    async with fleet(environment | settings), patience(30):
        await broker.publish([about(number, destinations=[hook("noc")]) for number in range(5)])
        await sandbox.inbox.accepts(5)
    asked: dict[Endpoint, set[int]] = {Endpoint.CURRENT: set(), Endpoint.INCIDENT: set()}
    for call in sandbox.platform.log:
        if call.endpoint in asked:
            asked[call.endpoint].add(int(call.path.partition("?")[0].rpartition("-")[2]))
        if call.endpoint is Endpoint.INCIDENT:
            assert "recursive_max_distance=2" in call.path
    assert asked == {Endpoint.CURRENT: fast, Endpoint.INCIDENT: slow}
    assert sandbox.platform.forbidden == 0
    assert all(degraded(post) == [] for post in sandbox.inbox.webhooks)


async def test_tokens_and_traces_reach_our_own_apis_and_nobody_else(
    *, sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make, about: Make
) -> None:
    async with fleet(environment), patience(30):
        outbound = hook("noc", auth="outbound_token")
        await broker.publish([unit(destinations=[outbound]), unit(incident_id=None, destinations=[hook("open")])])
        await broker.publish([about(4, destinations=[hook("open")])])
        await sandbox.inbox.accepts(3)
    seen = set()
    for call in sandbox.platform.log:
        seen.add(call.endpoint)
        carried = {name.lower(): value for name, value in call.headers}
        if call.endpoint in INTERNAL:
            assert carried["authorization"].startswith("Bearer ")
            assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", carried["traceparent"])
        else:
            assert not set(PRIVATE) & carried.keys()
    assert seen == INTERNAL | {Endpoint.TOKEN, Endpoint.REVERSE}
    forms = [parse_qs(call.body.decode()) for call in sandbox.platform.log if call.endpoint is Endpoint.TOKEN]
    credentials = {"grant_type": ["client_credentials"], "client_id": [CLIENT_ID], "client_secret": [CLIENT_SECRET]}
    whose = {"organization_id": [unit()["organization_id"]], "resource": [origin(outbound["url"])]}
    assert sorted(forms, key=len) == [credentials, credentials | {"audience": ["noc"]} | whose]
    assert {post.destination_id for post in sandbox.inbox.webhooks if "authorization" in headers(post)} == {"noc"}
    assert not any("traceparent" in headers(post) for post in sandbox.inbox.webhooks)


async def test_what_is_missing_or_old_is_named_and_what_is_not_ours_is_dropped_and_counted(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    made = unit(fingerprint="2026-03-06T23:00:00Z")
    foreign = next(it for it in sandbox.world.assets.values() if it["organization_id"] != made["organization_id"])
    sandbox.platform.behaviours[Endpoint.REVERSE].answer = 503
    async with fleet(environment) as (worker,), patience(30):
        await broker.publish([made | {"asset_ids": [foreign["asset_id"]], "destinations": [hook("noc")]}])
        await sandbox.inbox.accepts(1)
        metrics = (await worker.get("/metrics")).text
    data = payload(sandbox.inbox.webhooks[0])["data"]
    assert data["degraded"] == ["address", "freshness"]
    assert foreign["asset_id"] not in {it["asset_id"] for it in data["assets"]}
    assert 'notification_sender_foreign_records_total{source="assets"} 1.0' in metrics


@row(52, "404 of a subject")
async def test_a_subject_that_is_not_there_is_asked_for_three_times_and_another_tenants_is_dead_at_once(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, about: Make
) -> None:
    missing = unit(incident_id="inc-nowhere", intel_request_id=None)
    foreign = about(0, organization_id=sandbox.world.incidents["inc-00001"]["organization_id"])
    async with fleet(environment), patience(30):
        await broker.publish([missing, foreign])
        letters = await broker.dead(2)
    assert reasons(letters) == {
        missing["work_unit_id"]: "subject_not_found",
        foreign["work_unit_id"]: "tenant_mismatch",
    }
    asked = [call.at for call in sandbox.platform.log if call.path.startswith("/incidents/inc-nowhere")]
    assert len(asked) == 3
    assert asked[-1] - asked[0] < patient(8)
    assert {letter.body for letter in letters} == {orjson.dumps(missing), orjson.dumps(foreign)}
    assert sandbox.inbox.webhooks == []


async def test_trouble_of_our_own_apis_defers_a_unit_until_it_expires_or_is_too_old(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, hook: Make, about: Make
) -> None:
    organizations = sandbox.platform.behaviours[Endpoint.ORGANIZATION]
    organizations.script.extend([503, 503, 503, 500])  # two retries are all that so few calls have earned
    async with fleet(environment | {"NS_MAX_AGE": "30m"}) as (worker,), patience(30):
        waiting = about(3, destinations=[hook("waiting")])
        await broker.publish([waiting])
        await sandbox.inbox.accepts(1)
        await worker.says("unit.deferred", times=2, reason="context_unavailable", work_unit_id=waiting["work_unit_id"])
        organizations.answer = 503
        # Not before it was asked for in vain.
        expires_at = datetime.now(UTC) + timedelta(seconds=patient(3))
        expiring = about(2, expires_at=expires_at.isoformat(), destinations=[hook("expiring")])
        old, young = about(5, destinations=[hook("old")]), about(6, destinations=[hook("young")])
        await broker.publish([expiring, young])
        for it in (expiring, young):
            await worker.says("unit.deferred", reason="context_unavailable", work_unit_id=it["work_unit_id"])
        await broker.publish([old], headers={"x-first-seen": AN_HOUR_AGO})
        letters = await broker.dead(2)
    assert reasons(letters) == dict.fromkeys((old["work_unit_id"], expiring["work_unit_id"]), "context_unavailable")
    [first_seen] = [it.headers["x-first-seen"] for it in letters if it.body == orjson.dumps(old)]
    assert abs(datetime.fromisoformat(str(first_seen)) - datetime.fromisoformat(AN_HOUR_AGO)) < timedelta(seconds=1)
    assert [post.destination_id for post in sandbox.inbox.webhooks] == ["waiting"]
    assert len(posts_at(sandbox.inbox, "waiting")) == 1
