"""What is published: the same work units to the floor and to the full job, and the ids that they must arrive under."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, cycle, islice
from typing import Any

import aio_pika
import orjson
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel

from notification_sender.model.notification import notification_id
from notification_sender.model.unit import decode
from notification_sender.sandbox.platform.world import World

ORGANIZATIONS, INCIDENTS = 4, 20
"""Of the world that the work units are about: few enough that its facts are in the cache after some hundred units."""

AT_ONCE = 500
"""Publishes that wait for their confirms together."""

DESTINATION = "bench"

TOLD = 4
"""Destinations of a unit that tells several."""

AHEAD = 200
"""Units that are made at a time where there is no end to them."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A message, and the ``webhook-id`` that its notification will carry; ``further`` ones, where it tells several."""

    body: bytes
    webhook_id: str
    further: tuple[str, ...] = ()


class Load:
    """Makes work units that no run before has seen: the ledger would not let them through again."""

    def __init__(self, organizations: int, incidents: int) -> None:
        self._world = World(organizations=organizations, incidents=incidents)
        self._batches = count()
        self._secrets = self._world.secrets

    def units(self, number: int, url: str) -> list[Unit]:
        """``number`` of them, each for one signed webhook to ``url``."""
        batch = next(self._batches)
        return [self._unit(record, batch, url) for record in self._world.work_units(number)]

    def without_end(self, urls: Sequence[str]) -> Iterator[Unit]:
        """Each for ``TOLD`` signed webhooks, all to the one of ``urls`` that is its organization's."""
        owner = dict(zip(self.organizations(), cycle(urls), strict=False))
        while True:
            batch = next(self._batches)
            for record in self._world.work_units(AHEAD):
                yield self._unit(record, batch, owner[record["organization_id"]], TOLD)

    def organizations(self) -> list[str]:
        """By id, those that anything happens to."""
        return list(dict.fromkeys(it["organization_id"] for it in self._world.incidents.values()))

    def units_of(self, organization: str, number: int, url: str) -> list[Unit]:
        """As ``units``, of one organization alone."""
        records = self._world.work_units(len(self._world.incidents))
        own = [record for record in records if record["organization_id"] == organization]
        return [self._unit(dict(record), next(self._batches), url) for record in islice(cycle(own), number)]

    def _unit(self, record: dict[str, Any], batch: int, url: str, told: int = 1) -> Unit:
        # Without a batch: it is for the audit, and most units have none.
        del record["batch"]
        record["work_unit_id"] += f"-{batch}"
        names = [DESTINATION, *(f"{DESTINATION}-{number}" for number in range(1, told))]
        common = {"channel": "webhook", "url": url, "secret": self._secrets[record["organization_id"]][0]}
        body = orjson.dumps(record | {"destinations": [common | {"destination_id": name} for name in names]})
        first, *further = (notification_id(decode(body), name) for name in names)
        return Unit(body, first, tuple(further))


class Publisher:
    """Publishes to the private broker, each message persistent and confirmed."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel

    async def declare(self, queue: str) -> None:
        """A durable quorum queue, as the full job has."""
        await self._channel.declare_queue(queue, durable=True, arguments={"x-queue-type": "quorum"})

    async def depth(self, queue: str) -> int:
        """How many messages are ready there."""
        return int((await self._channel.declare_queue(queue, passive=True)).declaration_result.message_count or 0)

    async def publish(self, queue: str, units: Sequence[Unit]) -> None:
        for start in range(0, len(units), AT_ONCE):
            await asyncio.gather(*(self._one(queue, unit) for unit in units[start : start + AT_ONCE]))

    async def _one(self, queue: str, unit: Unit) -> None:
        message = Message(
            unit.body,
            content_type="application/json",
            delivery_mode=DeliveryMode.PERSISTENT,
            # For the floor, which could not know it otherwise; the full job derives it.
            message_id=unit.webhook_id,
        )
        await self._channel.default_exchange.publish(message, queue)


async def publisher(connection: aio_pika.abc.AbstractConnection) -> Publisher:
    """A channel of its own, with confirms."""
    return Publisher(await connection.channel(publisher_confirms=True))
