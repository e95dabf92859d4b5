"""Where a run plays: odd receivers, and a tenant of its own for each odd case."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import redis.asyncio

from notification_sender.settings import Settings
from tests.faults.rig import Rig
from tests.patience import option
from tests.strangers import name_server
from tests.strangers.draft import Draft, Ground
from tests.strangers.name_server import NameServer
from tests.strangers.receivers import Receivers
from tests.strangers.relay import Relay


def names_can_be_odd() -> bool:
    """Whether the workers can be told whom to ask."""
    return "nameservers" in Settings.model_fields


class Stage:
    """``refused_ids`` make the API refuse a bulk call."""

    def __init__(self, rig: Rig, refused_ids: set[str]) -> None:
        self._rig = rig
        self._refused_ids = refused_ids
        self._receivers = Receivers()
        self._relay = Relay()
        self._names = NameServer()

    @asynccontextmanager
    async def open(self, count: int) -> AsyncIterator[None]:
        """For so many cases."""
        await asyncio.gather(self._receivers.listen(range(count)), self._relay.listen(), self._names.listen())
        try:
            yield
        finally:
            await asyncio.gather(self._receivers.close(), self._relay.close())
            self._names.close()

    @property
    def ground(self) -> Ground:
        port = self._rig.inbox_port
        return Ground(
            inbox=self._rig.inbox.webhook_url,
            odd=self._receivers.url,
            named=lambda number: f"http://odd-{number}.{name_server.ZONE}:{port}/hooks/odd-{number}",
            now=time.time(),
        )

    @property
    def variables(self) -> dict[str, str]:
        """Of the workers. Two attempts are enough to see whether there is an end."""
        own = {"NS_SMTP_URL": self._relay.url, "NS_RETRY_SCHEDULE": "1s", "NS_LOG_LEVEL": "debug"}
        own |= {"NS_SEND_TIMEOUT": option(2), "NS_LEASE": option(10)}
        return own | ({"NS_NAMESERVERS": f"127.0.0.1:{self._names.port}"} if names_can_be_odd() else {})

    @property
    def accepted(self) -> Counter[str]:
        """By notification, at every receiver that knows which it took."""
        return self._rig.inbox.accepted + self._relay.accepted

    @property
    def asked(self) -> Counter[int]:
        """Requests at odd receivers, by case."""
        return self._receivers.asked

    async def store(self, drafts: Iterable[Draft]) -> None:
        """Write what stands in Redis."""
        async with redis.asyncio.Redis.from_url(self._rig.redis.url) as store:
            for command, key, *values in (it for odd in drafts for it in odd.stored):
                await store.execute_command(command, f"{self._rig.prefix}:1:{key}", *values)

    def set(self, odd: Draft) -> None:
        world = self._rig.sandbox.world
        world.organizations[odd.whose] = odd.organization
        world.incidents[f"inc-{odd.whose}"] = odd.incident
        world.assets[f"ast-{odd.whose}"] = odd.asset
        self._refused_ids |= odd.refused_ids
        if odd.answer is not None:
            self._receivers.answers[odd.number] = odd.answer
        if odd.dialogue is not None:
            self._relay.add(odd.address, odd.dialogue)
        if odd.resolved is not None:
            self._names.answers[odd.number] = odd.resolved
