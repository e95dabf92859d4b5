"""Overrides of operators on Redis and on the embedded one."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from notification_sender.adapters.memory.pubsub import MemoryPubSub
from notification_sender.adapters.memory.redis import EmbeddedRedis
from notification_sender.adapters.redis.client import Redis, Store
from notification_sender.adapters.redis.overrides import RedisOverrides
from notification_sender.model.override import LONGEST_OVERRIDE, PauseScope
from notification_sender.ports.overrides import TOPIC

HOUR = 3600.0
NOC, ORG_2 = PauseScope("org-1", destination_id="noc"), PauseScope("org-2")
SCOPES = [PauseScope(), PauseScope(channel="email"), PauseScope("org-1"), PauseScope("org-1", channel="email"), NOC]


@pytest.fixture(params=["embedded", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    store = EmbeddedRedis() if request.param == "embedded" else Redis(url=request.getfixturevalue("redis_server"))
    await store.connect()
    yield store
    await store.close()


@pytest.fixture
def pubsub() -> MemoryPubSub:
    return MemoryPubSub()


@pytest.fixture
def overrides(store: Store, pubsub: MemoryPubSub) -> RedisOverrides:
    return RedisOverrides(redis=store, prefix="ns", pubsub=pubsub)


async def test_each_pause_is_read_as_it_was_set_until_it_is_resumed(overrides: RedisOverrides) -> None:
    paused = [await overrides.pause(it, seconds=HOUR, by="anna@bastion", note="☎ INC-1") for it in SCOPES]
    assert await overrides.active_pauses() == sorted(paused, key=lambda it: it.subject)
    assert [it.subject for it in paused] == [
        "all",
        "channel/email",
        "organization/org-1",
        "channel/org-1/email",
        "destination/org-1/noc",
    ]
    assert {it.until - it.since for it in paused} == {HOUR}
    assert [PauseScope.of(it.subject) for it in paused] == SCOPES
    assert [await overrides.resume(it) for it in SCOPES] == paused
    assert await overrides.active_pauses() == []
    assert await overrides.resume(NOC) is None


async def test_a_later_override_of_one_subject_takes_its_place_and_no_other_kind_does(
    overrides: RedisOverrides,
) -> None:
    await overrides.pause(PauseScope("org-1"), seconds=HOUR, by="anna")
    later = await overrides.pause(PauseScope("org-1"), seconds=60.0, by="ben")
    rate = await overrides.put("rate", "org-1/webhook", "60/minute", seconds=HOUR, by="anna")
    assert await overrides.active() == [later, rate]
    assert await overrides.active_pauses() == [later]
    assert await overrides.remove("rate", "org-1/webhook") == rate
    assert await overrides.active() == [later]


async def test_an_override_ends_by_itself_and_never_later_than_the_longest(
    overrides: RedisOverrides, store: Store
) -> None:
    longest = await overrides.put("circuit", "api/aaa", "open", seconds=2 * LONGEST_OVERRIDE, by="anna")
    assert longest.until - longest.since == LONGEST_OVERRIDE
    await overrides.pause(NOC, seconds=-1.0, by="anna")
    assert await overrides.active() == [longest]
    assert await overrides.resume(NOC) is None
    assert 0 < await store.execute("PTTL", "ns:1:{overrides}:active") <= (LONGEST_OVERRIDE + 1) * 1000


async def test_a_destination_that_is_switched_off_is_on_again_when_it_is_switched_on(
    overrides: RedisOverrides, store: Store
) -> None:
    off = await overrides.switch_off("org-1", "noc", seconds=HOUR, by="anna", note="asked")
    assert (off.kind, off.subject) == ("off", NOC.subject)
    assert await overrides.active() == [off]
    assert await overrides.active_pauses() == []
    assert await store.execute("HGET", "ns:1:{org-1}:pauses", "off/noc") == b"%d" % round(off.until * 1_000_000)
    assert await overrides.switch_on("org-1", "noc") == off
    assert await store.execute("HGET", "ns:1:{org-1}:pauses", "off/noc") is None
    assert await overrides.switch_on("org-1", "noc") is None


async def test_every_change_is_published(overrides: RedisOverrides, pubsub: MemoryPubSub) -> None:
    heard: list[str] = []
    pubsub.subscribe(TOPIC, heard.append)
    await overrides.pause(NOC, seconds=HOUR, by="anna")
    await overrides.resume(NOC)
    await overrides.put("circuit", "api/aaa", "open", seconds=HOUR, by="anna")
    await overrides.remove("circuit", "api/aaa")
    await asyncio.sleep(0)
    assert heard == [NOC.subject, NOC.subject, "api/aaa", "api/aaa"]


FACTS: dict[str, Any] = {"since": 1.0, "until": 3e9, "by": "x", "value": "", "note": ""}
BROKEN: list[tuple[str, object]] = [
    ("pause/all", b""),
    ("pause/all", b"[]"),
    ("pause/all", b"{}"),
    ("pause/all", b"\xff"),
    ("pause/all", b"[" * 100_000),
    ("pause/all", {"until": "soon"}),
    ("pause/all", {"until": None}),
    ("pause/all", b'{"since":1,"until":1e999,"by":"","value":"","note":""}'),
    ("pause/all", {"by": 7}),
    ("pause/all", {}),  # longer than any override lasts
    ("pause/", {"until": None}),
    ("pause/everything", "recent"),
    ("pause/organization/", "recent"),
    ("pause/organization/\x1b[31m", "recent"),
    ("pause/destination/org-1", "recent"),
    ("off/all", "recent"),
    ("off/organization/org-1", "recent"),
    ("rate/org-1/webhook", "recent"),
    ("rate/webhook", "recent"),
    ("circuit/api/aaa", "recent"),
    ("unknown/all", "recent"),
]


@pytest.mark.parametrize(("name", "facts"), BROKEN, ids=lambda it: str(it)[:40])
async def test_a_field_that_cannot_be_followed_keeps_nobody_from_the_others(
    overrides: RedisOverrides, store: Store, name: str, facts: object
) -> None:
    others = [await overrides.pause(it, seconds=HOUR, by="anna") for it in (ORG_2, NOC)]
    others.append(await overrides.put("rate", "org-2/webhook", "60/minute", seconds=HOUR, by="anna"))
    now = await overrides.now()
    recent = {"since": now, "until": now + 60.0}
    changed = recent if facts == "recent" else facts
    value = changed if isinstance(changed, bytes) else json.dumps(FACTS | changed)  # type: ignore[operator]
    await store.execute("HSET", "ns:1:{overrides}:active", name, value)
    assert await overrides.active() == sorted(others, key=lambda it: (it.kind, it.subject))


async def test_a_note_is_shown_without_what_a_terminal_would_obey(overrides: RedisOverrides, store: Store) -> None:
    now = await overrides.now()
    facts = FACTS | {"since": now, "until": now + 60.0, "by": "anna\x1b[31m\u202e", "note": "\U0001f4a9" * 500}
    await store.execute("HSET", "ns:1:{overrides}:active", "pause/all", json.dumps(facts))
    [shown] = await overrides.active()
    assert (shown.by, shown.note) == ("anna[31m", "\U0001f4a9" * 200)
