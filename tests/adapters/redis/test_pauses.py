"""The admission of a send has the last word on a pause, and on a destination that an operator switched off."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from notification_sender.adapters.memory.pubsub import MemoryPubSub
from notification_sender.adapters.memory.redis import EmbeddedRedis
from notification_sender.adapters.redis.client import Redis, Store
from notification_sender.adapters.redis.ledger import RedisLedger
from notification_sender.adapters.redis.overrides import RedisOverrides
from notification_sender.model.override import PauseScope
from notification_sender.ports.ledger import AdmissionRequest, AdmitReply, Claimed, Key, Paused, Unwanted

HOUR = 3600.0
Admit = Callable[[str, str, str], Awaitable[AdmitReply]]


@pytest.fixture(params=["embedded", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    store = EmbeddedRedis() if request.param == "embedded" else Redis(url=request.getfixturevalue("redis_server"))
    await store.connect()
    yield store
    await store.close()


@pytest.fixture
def overrides(store: Store) -> RedisOverrides:
    return RedisOverrides(redis=store, prefix="ns", pubsub=MemoryPubSub())


@pytest.fixture
def admit(store: Store) -> Admit:
    times = {"lease": 30.0, "ledger_ttl": 600.0, "story_ttl": 60.0, "horizon": 60.0, "disable_after": 60.0}
    ledger = RedisLedger(redis=store, prefix="ns", **times)

    async def admit(organization: str, destination: str, channel: str) -> AdmitReply:
        key = Key(organization, "notification", "n-1")
        return await ledger.admit(
            AdmissionRequest(
                key=key,
                token="t-1",
                replays=0,
                attempt=1,
                destination=Key(organization, "destination", f"{destination}:0a1b"),
                recipient=Key(organization, "recipient", "0123"),
                limits=(),
                channel=channel,
                destination_id=destination,
            )
        )

    return admit


@pytest.mark.parametrize(
    "scope",
    [PauseScope("org-1"), PauseScope("org-1", channel="email"), PauseScope("org-1", destination_id="noc")],
    ids=lambda it: it.subject,
)
async def test_what_is_paused_is_not_admitted_until_it_is_resumed(
    overrides: RedisOverrides, admit: Admit, scope: PauseScope
) -> None:
    await overrides.pause(scope, seconds=HOUR, by="anna")
    reply = await admit("org-1", "noc", "email")
    assert isinstance(reply, Paused)
    assert HOUR - 60 < reply.delay <= HOUR
    assert isinstance(await admit("org-2", "noc", "email"), Claimed)
    await overrides.resume(scope)
    assert isinstance(await admit("org-1", "noc", "email"), Claimed)


async def test_a_destination_that_is_switched_off_gets_nothing_until_it_is_switched_on(
    overrides: RedisOverrides, admit: Admit
) -> None:
    await overrides.switch_off("org-1", "noc", seconds=HOUR, by="anna")
    assert await admit("org-1", "noc", "email") == Unwanted("destination_disabled")
    await overrides.switch_on("org-1", "noc")
    assert isinstance(await admit("org-1", "noc", "email"), Claimed)
