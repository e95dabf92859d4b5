"""What is published: the same work units to the floor and to the full job, and the ids that they must arrive under."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from itertools import count, cycle, islice
from typing import Any

import aio_pika
import orjson
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel

from notification_sender.model.notification import notification_id
from notification_sender.model.unit import decode
from notification_sender.sandbox.platform.world import World

ORGANIZATIONS, INCIDENTS, ASSETS = 4, 20, 40
"""Of the world that the work units are about, assets of each organization: few enough that its facts are in the cache
after some hundred units.
"""

FLOOR = "bench.floor"
"""The queue of the floor."""

FIRST_HOST = "127.0.0.1"

AT_ONCE = 500
"""Publishes that wait for their confirms together."""

DESTINATION = "bench"

TOLD = 4
"""Destinations of a unit that tells several."""

AHEAD = 200
"""Units that are made at a time where there is no end to them."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A message, and the ``webhook-id`` that its notification will carry; ``further`` ones, where it tells several.

    ``target``: where these go, if not all go to one place.
    """

    body: bytes
    webhook_id: str
    further: tuple[str, ...] = ()
    target: str = ""

    @property
    def webhook_ids(self) -> tuple[str, ...]:
        return (self.webhook_id, *self.further)


@dataclass(frozen=True, slots=True)
class Shape:
    """What units are like: ``destinations`` and ``hosts`` by turns, each unit for ``told`` of these destinations.

    ``assets``: how many a unit names, None for as many as the world gives it.
    """

    told: int = 1
    destinations: int = 1
    hosts: int = 1
    assets: int | None = None


PLAIN = Shape()


class Load:
    """Makes work units that no run before has seen: the ledger would not let them through again."""

    def __init__(self, organizations: int, incidents: int, assets: int = ASSETS) -> None:
        self._world = World(organizations=organizations, incidents=incidents, assets=assets)
        self._batches = count()
        self._secrets = self._world.secrets

    def units(self, number: int, url: str, shape: Shape = PLAIN) -> list[Unit]:
        """``number`` of them, for signed webhooks to ``url``."""
        batch = next(self._batches)
        records = enumerate(self._world.work_units(number))
        return [self._shaped(record, batch, url, shape, place) for place, record in records]

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

    def units_of(self, organization: str, number: int, url: str, *, first: int = 0) -> list[Unit]:
        """As ``units``, of one organization alone, for the destination ``first``."""
        records = self._world.work_units(len(self._world.incidents))
        own = [record for record in records if record["organization_id"] == organization]
        return [
            self._unit(dict(record), next(self._batches), url, first=first) for record in islice(cycle(own), number)
        ]

    def _shaped(self, record: dict[str, Any], batch: int, url: str, shape: Shape, place: int) -> Unit:
        if shape.assets is not None:
            record["asset_ids"] = self._assets(record["organization_id"])[: shape.assets]
        target = url.replace(FIRST_HOST, str(ip_address(FIRST_HOST) + place % shape.hosts))
        unit = self._unit(record, batch, target, shape.told, place % shape.destinations)
        return replace(unit, target=target) if shape.hosts > 1 else unit

    def _assets(self, organization: str) -> list[str]:
        return [it["asset_id"] for it in self._world.assets.values() if it["organization_id"] == organization]

    def _unit(self, record: dict[str, Any], batch: int, url: str, told: int = 1, first: int = 0) -> Unit:
        # Without a batch: it is for the audit, and most units have none.
        del record["batch"]
        record["work_unit_id"] += f"-{batch}"
        names = [f"{DESTINATION}-{number}" if number else DESTINATION for number in range(first, first + told)]
        common = {"channel": "webhook", "url": url, "secret": self._secrets[record["organization_id"]][0]}
        body = orjson.dumps(record | {"destinations": [common | {"destination_id": name} for name in names]})
        unit = decode(body)
        webhook_id, *further = (notification_id(unit, name) for name in names)
        return Unit(body, webhook_id, tuple(further))


class Publisher:
    """Publishes to the private broker, each message persistent and confirmed."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel

    async def declare(self, queue: str) -> None:
        """A durable quorum queue, as the full job has."""
        await self._channel.declare_queue(queue, durable=True, arguments={"x-queue-type": "quorum"})

    async def purge(self, queue: str) -> None:
        await (await self._channel.declare_queue(queue, passive=True)).purge()

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
            reply_to=unit.target or None if queue == FLOOR else None,
        )
        await self._channel.default_exchange.publish(message, queue)


async def publisher(connection: aio_pika.abc.AbstractConnection) -> Publisher:
    """A channel of its own, with confirms."""
    return Publisher(await connection.channel(publisher_confirms=True))
