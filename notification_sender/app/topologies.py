"""The queues of a fleet: compared with what this version declares, and moved to another prefix."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq import inspection
from notification_sender.adapters.rabbitmq.migration import Left, migration
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.app.admin import declare
from notification_sender.app.asking import answer, opened
from notification_sender.app.backends import topology
from notification_sender.app.reach import Place
from notification_sender.app.tls import broker_address
from notification_sender.model.errors import ConfigurationFault
from notification_sender.settings import Settings
from notification_sender.telemetry import log


@dataclass(frozen=True, slots=True)
class Migrated:
    """The result of a migration, so far."""

    moved: Mapping[str, int]
    """Messages that were moved, by their old queue."""
    left: Left


async def compare(settings: Settings) -> inspection.BrokerState:
    """Compare the queues and exchanges with those that this version declares. Nothing is changed.

    Raises:
        ConfigurationFault: RabbitMQ refuses us, or has no queues to compare (``memory://``).
        Unready: RabbitMQ is away.
    """
    place, address = _of(settings), broker_address(settings)
    return await answer(place, lambda: inspection.inspect(address, topology(settings), SystemClock()))


async def migrate(settings: Settings, old: Topology, step: Callable[[], None]) -> Migrated:
    """Declare the topology of the settings, and move into it what ``old`` holds. ``step``: after each message.

    Raises:
        ConfigurationFault: both are the same, there is no old one, or RabbitMQ refuses us.
        Unready: RabbitMQ is away; what was moved stays moved, and a repetition goes on.
    """
    new = topology(settings)
    if old.prefix == new.prefix:
        raise ConfigurationFault(f"NS_TOPOLOGY_PREFIX is {new.prefix!r} itself: set it to the new prefix")
    place = _of(settings)
    await declare(settings)
    moved: Counter[str] = Counter()
    async with opened(place, migration(broker_address(settings), old, new, SystemClock())) as moving:
        await moving.redirect()
        async for queue in moving.messages():
            moved[queue] += 1
            step()
        return Migrated(moved, await moving.left())


def _of(settings: Settings) -> Place:
    log.to_people()
    if settings.amqp_url.scheme == "memory":
        raise ConfigurationFault("NS_AMQP_URL: memory:// has no queues that other processes see; use amqp://")
    return Place.of("NS_AMQP_URL", settings.amqp_url.get_secret_value())
