"""What a notification takes of a real Redis is what the sizing counts with, whatever its recipient answers."""

from collections.abc import AsyncIterator

import pytest

from notification_sender.adapters.redis.client import Redis
from notification_sender.adapters.redis.eviction import memory_use
from notification_sender.adapters.redis.ledger import RedisLedger
from notification_sender.model.outcome import Delivered, Receipt
from notification_sender.policy.attempt_report import history_entry
from notification_sender.policy.sizing import RECORD, STORY
from notification_sender.ports.ledger import AdmissionRequest, AttemptReport, Claimed, Key, TerminalState

MANY = 1_500
SOURCES = ("organization", "incident", "intel_request", "address", "internet_outages", "outages", "assets")
HOOK = Key("org-alpnet", "destination", "noc-hook:" + "0" * 16)
READER = Key("org-alpnet", "recipient", "0" * 16)


@pytest.fixture
async def redis(redis_server: str) -> AsyncIterator[Redis]:
    redis = Redis(url=redis_server)
    await redis.connect()
    yield redis
    await redis.close()


async def used(redis: Redis) -> int:
    use = await memory_use(redis)
    assert use is not None
    assert use[1] == 0
    return use[0]


async def deliver(ledger: RedisLedger, number: int) -> None:
    key = Key("org-alpnet", "notification", f"{number:08d}-1111-5222-8333-444455556666")
    reply = await ledger.admit(AdmissionRequest(key, "a1b2c3d4e5f60718", 0, 1, HOOK, READER, []))
    assert isinstance(reply, Claimed)
    facts = {
        "work_unit_id": f"wu-{number:06d}",
        "destination_id": "noc-hook",
        "template_version": "e6d01c04cf41",
        "sources": dict.fromkeys(SOURCES, "fetched"),
    }
    ended = Delivered(Receipt("200", status=200))
    entry = history_entry(ended, attempt=1, at=1_772_785_560.123, seconds=0.1234, facts=facts)
    assert await ledger.finish(reply.claim, TerminalState("delivered", "200"), AttemptReport(HOOK, "accepted", entry))


async def test_the_figures_of_the_sizing_are_those_of_redis(redis: Redis) -> None:
    times = {"lease": 30.0, "ledger_ttl": 604_800.0, "story_ttl": 172_800.0, "horizon": 60.0, "disable_after": 60.0}
    ledger = RedisLedger(redis=redis, prefix="notification-sender", process="sender-7c9f6d5b4-x2x1z:7", **times)
    await deliver(ledger, 0)
    before = await used(redis)
    for number in range(1, MANY + 1):
        await deliver(ledger, number)
    both = (await used(redis) - before) / MANY
    for number in range(1, MANY + 1):
        await redis.execute(
            "DEL", f"notification-sender:1:{{org-alpnet}}:notification:{number:08d}-1111-5222-8333-444455556666:story"
        )
    alone = (await used(redis) - before) / MANY
    # Redis grows its tables by doubling: a moment's figure is a little more or less than in the long run.
    assert alone == pytest.approx(RECORD, rel=0.25)
    assert both - alone == pytest.approx(STORY, rel=0.25)
