"""The channels that this worker sends on, and the limits of what they send."""

import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from notification_sender.adapters.http.idle_connections import IdleConnections
from notification_sender.adapters.http.name_lookup import NameLookup
from notification_sender.adapters.http.transport import AiohttpTransport
from notification_sender.adapters.tls import Tls
from notification_sender.app.backends import Store
from notification_sender.app.tls import smtp_tls
from notification_sender.channels.addresses import Addresses
from notification_sender.channels.hosts import Hosts
from notification_sender.channels.notices import Notices
from notification_sender.channels.registry import ChannelResources, ChannelType, channel_types
from notification_sender.channels.signing import Secrets
from notification_sender.channels.trust_store import TrustStore
from notification_sender.channels.webhook import Tokens
from notification_sender.model.notification import Notification
from notification_sender.model.override import Override
from notification_sender.policy.limits import Limit
from notification_sender.policy.rates import Rates, rates
from notification_sender.policy.retry import Schedule
from notification_sender.ports.channels import Channel
from notification_sender.ports.clock import Clock
from notification_sender.settings import Settings
from notification_sender.worker.bulkheads import ChannelBulkhead

if TYPE_CHECKING:
    from notification_sender.adapters.smtp.client import Smtp

MINUTE = 60.0


class Recipients:
    """Every channel of the registry, built from the settings. Nothing here knows which channels there are."""

    def __init__(
        self, settings: Settings, *, tokens: Tokens, clock: Clock, idle: IdleConnections | None = None
    ) -> None:
        """``idle``: the idle connections of this process, of all its transports together."""
        self.notices = Notices(clock)
        """Destinations that wait for a file, and those that are unsigned."""
        self._closing = AsyncExitStack()
        self.tls: list[Tls] = []
        """Of the mail server, if there is one."""
        self._types = channel_types()
        shared = self._resources(settings, tokens, clock, idle)
        given = {name: replace(shared, options=_options(settings, it)) for name, it in self._types.items()}
        self.channels: dict[str, Channel] = {name: it.create(given[name]) for name, it in self._types.items()}
        self.configured = [name for name, it in self._types.items() if it.configured(given[name])]
        """The channels that this worker can send on: emails need a mail server."""
        self.throttles: dict[str, Limit | None] = {it: getattr(settings, f"throttle_{it}") for it in self._types}
        self.rates: Rates = {}
        """Of operators, in place of ``throttles``."""
        self.schedules: dict[str, Schedule] = {
            name: getattr(settings, f"retry_schedule_{name}") or settings.retry_schedule for name in self._types
        }
        self.hold_unknown = frozenset(
            name for name, it in self._types.items() if getattr(settings, f"{name}_on_unknown", it.on_unknown) == "hold"
        )
        """The channels on which a send with an unknown outcome is not repeated."""

    def _resources(
        self, settings: Settings, tokens: Tokens, clock: Clock, idle: IdleConnections | None
    ) -> ChannelResources:
        return ChannelResources(
            clock=clock,
            transport=self._transport(settings, idle),
            secrets=Secrets(
                settings.secrets_dir, shared=settings.shared_secrets, unsigned=settings.unsigned == "allow"
            ),
            trust_store=TrustStore(settings.ca_dir),
            tokens=tokens,
            notices=self.notices,
            send_timeout=settings.send_timeout,
            mailer=self._mailer(settings),
            email_from=settings.email_from,
            closing=self._closing,
        )

    def _transport(self, settings: Settings, idle: IdleConnections | None) -> AiohttpTransport:
        names = NameLookup(settings.nameservers)
        self._closing.push_async_callback(names.close)
        addresses = Addresses(
            allowed=settings.allowed_cidrs, ports=settings.webhook_ports, nat64=settings.nat64_prefixes
        )
        transport = AiohttpTransport(
            allow=addresses.check, deadline=settings.send_timeout, partial=True, resolver=names, idle=idle
        )
        self._closing.push_async_callback(transport.aclose)
        return transport

    def _mailer(self, settings: Settings) -> "Smtp | None":
        if settings.smtp_url is None:
            return None
        from notification_sender.adapters.smtp.client import Smtp  # noqa: PLC0415 - a worker without emails has none
        from notification_sender.adapters.smtp.server import Server  # noqa: PLC0415 - as above

        server = Server.parse(settings.smtp_url.get_secret_value())
        self.tls.append(smtp_tls(settings))
        mailer = Smtp(server, timeout=settings.send_timeout, tls=self.tls[-1], name=settings.email_helo)
        self._closing.push_async_callback(mailer.close)
        return mailer

    def bulkheads(self, settings: Settings) -> dict[str, ChannelBulkhead]:
        """By channel, where a server on the way limits what it takes at once."""
        longest = settings.send_timeout / 2
        return {
            name: ChannelBulkhead(it.capacity.at_once, longest=longest, later=it.capacity.retry_after)
            for name, it in self._types.items()
            if it.capacity is not None
        }

    def limits(self, notification: Notification) -> list[Limit]:
        """The limits that one send counts against: of its organization and channel, and of its destination."""
        destination = notification.destination
        limits = [self.throttles.get(destination.channel)]
        if self.rates:
            limits[0] = self.rates.get((notification.organization_id, destination.channel), limits[0])
        if destination.rate is not None:
            name = f"destination:{destination.destination_id}"
            limits.append(Limit.per(name, destination.rate.per_minute, MINUTE, destination.rate.burst))
        return [limit for limit in limits if limit is not None]

    def replace_rates(self, overrides: Sequence[Override]) -> None:
        """Use the rates of these overrides from now on, and no others."""
        self.rates = rates(overrides)

    async def close(self) -> None:
        """Close all connections."""
        await self._closing.aclose()


def _options(settings: Settings, channel: ChannelType) -> dict[str, str | None]:
    """The values of the variables that a channel declares itself."""
    values: dict[str, Any] = {it: getattr(settings, f"{channel.name}_{it}") for it in channel.options}
    return {it: value.get_secret_value() if isinstance(value, SecretStr) else value for it, value in values.items()}


def hosts(settings: Settings, store: Store, clock: Clock) -> Hosts:
    """The state of recipients' hosts, shared by the fleet. A probe of a host may take as long as a lease."""
    return Hosts(fleet=store.fleet, pubsub=store.pubsub, clock=clock, dice=random.random, timeout=settings.lease)


def bare_networks(settings: Settings) -> list[str]:
    """The networks that ``NS_ALLOWED_CIDRS`` opens on every port for every organization."""
    return [str(allowed.network) for allowed in settings.allowed_cidrs if allowed.bare]
