"""What operators see and erase of the records of an organization, on real and on embedded Redis."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from notification_sender.adapters.memory.redis import EmbeddedRedis
from notification_sender.adapters.redis.client import Redis, Store
from notification_sender.adapters.redis.ledger import RedisLedger
from notification_sender.adapters.redis.records import CacheUse, RedisRecords
from notification_sender.adapters.redis.stories import RedisStories
from notification_sender.model.destination import recipient_hash
from notification_sender.model.override import Override
from notification_sender.policy.limits import SECOND, Limit
from notification_sender.policy.rates import rates
from notification_sender.ports.ledger import AdmissionRequest, Claimed, Key, TerminalState, Throttled

TIMES = {"lease": 30.0, "ledger_ttl": 3600.0, "story_ttl": 600.0, "horizon": 3600.0, "disable_after": 60.0}
SLOW = Limit("webhook", 10 * SECOND, 1)


@pytest.fixture(params=["embedded", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    store: Any = EmbeddedRedis() if request.param == "embedded" else Redis(url=request.getfixturevalue("redis_server"))
    await store.connect()
    yield store
    await store.close()


async def admitted(ledger: RedisLedger, name: str, organization: str = "org-1", limit: Limit = SLOW) -> object:
    at = (Key(organization, kind, "x") for kind in ("destination", "recipient"))  # type: ignore[arg-type]
    return await ledger.admit(AdmissionRequest(Key(organization, "notification", name), name, 0, 1, *at, [limit]))


async def test_what_an_organization_has_claimed_and_waiting_is_counted(store: Store) -> None:
    ledger, records = RedisLedger(redis=store, prefix="ns", **TIMES), RedisRecords(redis=store, prefix="ns")
    assert isinstance(await admitted(ledger, "n-1"), Claimed)
    assert isinstance(await admitted(ledger, "n-2"), Throttled)
    assert isinstance(await admitted(ledger, "n-3"), Throttled)
    done = await admitted(ledger, "n-1", "org-2")
    assert isinstance(done, Claimed)
    await ledger.finish(done.claim, TerminalState("delivered", "200"))
    now = await records.now()
    first, second = await records.organizations(None, now, {})
    assert (first.organization_id, first.claimed, first.waiting, first.limits) == ("org-1", 1, 2, {"webhook": 2})
    assert first.next_due == pytest.approx(now + 10, abs=5)
    assert first.booked_until["webhook"] == pytest.approx(now + 30, abs=5)
    assert (second.organization_id, second.claimed, second.waiting) == ("org-2", 0, 0)
    assert [it.organization_id for it in await records.organizations("org-2", now, {})] == ["org-2"]
    assert await records.organizations("org-2", now + 60, {}) == []


async def test_what_was_booked_at_another_rate_than_the_one_in_force_is_not_shown_as_taken(store: Store) -> None:
    ledger, records = RedisLedger(redis=store, prefix="ns", **TIMES), RedisRecords(redis=store, prefix="ns")
    for name in ("n-1", "n-2"):
        await admitted(ledger, name)
        await admitted(ledger, f"{name}-set", limit=Limit("webhook", 300 * SECOND, 1, era="7000000"))
    now = await records.now()
    slow = Override("rate", "org-1/webhook", 7.0, now + 60, "anna", "12/hour")
    for active, left in (([], 20), ([slow], 600)):
        [state] = await records.organizations(None, now, rates(active))
        assert state.limits == {"webhook": 2}
        assert state.booked_until == {"webhook": pytest.approx(now + left, abs=5)}


async def test_cached_facts_are_counted_by_kind_and_purged_by_organization(store: Store) -> None:
    records = RedisRecords(redis=store, prefix="ns")
    now = await records.now()
    for organization, name, soft in (("org-1", "inc-1", 9), ("org-1", "inc-2", -9), ("org-2", "inc-1", 9)):
        key = f"ns:1:{{{organization}}}:fact:4:intel:incident:{name}"
        await store.execute("HSET", key, "body", "12345", "soft", round((now + soft) * SECOND))
    await store.execute("HSET", "ns:1:{org-1}:fact:4:intel:asset:a:lease", "token", "t")
    incidents = CacheUse("intel:incident", facts=2, fresh=1, bytes=10)
    assert await records.cached("org-1", now) == [incidents, CacheUse("intel:asset", fetching=1)]
    assert await records.purge("org-1") == 2
    assert await records.cached(None, now) == [CacheUse("intel:incident", facts=1, fresh=1, bytes=5)]


async def test_all_records_of_an_organization_are_erased_but_not_who_wants_no_emails(store: Store) -> None:
    ledger, records = RedisLedger(redis=store, prefix="ns", **TIMES), RedisRecords(redis=store, prefix="ns")
    for organization in ("org-1", "org-2"):
        for name in ("n-1", "n-2"):
            await admitted(ledger, name, organization)
    await store.execute("SET", "ns:1:{org-1}:recipient:0a", "")
    assert await records.erase("org-1") == {"notification": 2, "story": 1, "limit": 1}
    left = sorted(await store.execute("KEYS", "ns:1:{org-1}*"))
    assert left == [b"ns:1:{org-1}:recipient:0a"]
    assert len(await store.execute("KEYS", "ns:1:{org-2}*")) == 4


async def test_of_one_recipient_all_that_names_it_is_erased_and_nothing_of_others(store: Store) -> None:
    records, hash_ = RedisRecords(redis=store, prefix="ns"), recipient_hash("noc@example.com")
    start = "ns:1:{org-1}:"
    await store.execute("HSET", f"{start}destination:noc:{hash_[:16]}", "failing", 1)
    await store.execute("HSET", f"{start}destination:noc:ffff", "failing", 1)
    for name, whose in (("n-1", "ffff"), ("n-2", hash_[:16]), ("n-3", "ffff"), ("n-4", "ffff")):
        await store.execute("RPUSH", f"{start}notification:{name}:story", json.dumps({"recipient": whose}), "no JSON")
    mails = [json.dumps({"destination": {"to": to}}) for to in ("NOC@example.com", "ops@example.com")]
    await store.execute("RPUSH", f"{start}withheld:noc", *mails)
    erased = await records.erase_recipient("org-1", hash_, ["n-1", "n-9"])
    assert erased == {"destination": 1, "story": 2, "withheld": 1}
    left = sorted(it.decode().removeprefix(start) for it in await store.execute("KEYS", "*"))
    assert left == ["destination:noc:ffff", "notification:n-3:story", "notification:n-4:story", "withheld:noc"]
    assert await store.execute("LRANGE", f"{start}withheld:noc", 0, -1) == [mails[1].encode()]


async def test_a_unit_that_ended_or_waits_without_a_claim_is_of_its_time_as_well(store: Store) -> None:
    ledger, records = RedisLedger(redis=store, prefix="ns", **TIMES), RedisRecords(redis=store, prefix="ns")
    await ledger.note(Key("org-1", "unit", "wu-dead@0a"), TerminalState("dead", "schema"))
    await ledger.note_deferral(Key("org-1", "unit", "wu-paused@0a"), '{"step":"decode"}', delay=60.0)
    await ledger.claim(Key("org-1", "unit", "wu-mine@0a"), "t", 1, replays=0)
    now = await records.now()
    assert await records.seen(None, now - 60, now + 60) == {"org-1": ["wu-dead@0a", "wu-mine@0a", "wu-paused@0a"]}
    assert await records.seen(None, now - 90, now - 60) == {}
    await store.execute("RPUSH", "ns:1:{org-1}:unit-story:wu-odd", "no JSON")
    assert len((await records.seen(None, now - 60, now + 60))["org-1"]) == 3


async def test_units_and_their_stories_are_told_apart_whatever_their_ids(store: Store) -> None:
    ledger, records = RedisLedger(redis=store, prefix="ns", **TIMES), RedisRecords(redis=store, prefix="ns")
    stories = RedisStories(redis=store, prefix="ns")
    for name in ("wu", "wu:story"):
        assert isinstance(await ledger.claim(Key("org-1", "unit", name), "t", 1, replays=0), Claimed)
        await ledger.note_deferral(Key("org-1", "unit", name), f'{{"of":"{name}"}}', delay=1.0)
    await ledger.note_deferral(Key("org-1", "unit", "not-claimed"), '{"of":"it"}', delay=1.0)
    await store.execute("RPUSH", "ns:1:{org-1}:unit:wu@0a:story", "{}")  # of the version before
    now = await records.now()
    assert await records.seen(None, now - 60, now + 60) == {"org-1": ["not-claimed", "wu", "wu:story"]}
    [state] = await records.organizations(None, now, {})
    assert state.claimed == 2
    for name, states in (("wu", 1), ("wu:story", 1), ("not-claimed", 0)):
        [chapter] = await stories.find(name)
        assert (chapter.name, len(chapter.record) > 0, len(chapter.lines)) == (name, states == 1, 1)
    assert await records.erase("org-1") == {"unit": 3, "story": 3}


async def test_the_units_of_a_time_are_those_that_were_first_claimed_in_it(store: Store) -> None:
    ledger, records = RedisLedger(redis=store, prefix="ns", **TIMES), RedisRecords(redis=store, prefix="ns")
    for name in ("wu-1@0a", "wu-1@0a/slice", "wu-2"):
        await ledger.claim(Key("org-1", "unit", name), "t", 1, replays=0)
    now = await records.now()
    assert await records.seen(None, now - 60, now + 60) == {"org-1": ["wu-1@0a", "wu-2"]}
    assert await records.seen("org-1", now - 60, now - 30) == {}
    assert await records.existing("org-1", ["wu-2", "wu-3"]) == ["wu-2"]
