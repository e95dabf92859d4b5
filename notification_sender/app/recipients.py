"""The channels: how each kind of destination is told, and the limits they share."""

import random

from notification_sender import __version__
from notification_sender.adapters.http import AiohttpTransport
from notification_sender.adapters.smtp import Server, Smtp
from notification_sender.app.services import Store
from notification_sender.channels.addresses import Addresses
from notification_sender.channels.authorities import Authorities
from notification_sender.channels.email import Email
from notification_sender.channels.hosts import Hosts
from notification_sender.channels.signing import Secrets
from notification_sender.channels.webhook import Tokens, Webhook
from notification_sender.model.notification import Notification
from notification_sender.policy.limits import Limit
from notification_sender.ports import Channel, Clock
from notification_sender.settings import Settings

MINUTE = 60.0


class Recipients:
    """A new channel is one file in channels/ and one entry here."""

    def __init__(self, settings: Settings, *, tokens: Tokens, clock: Clock) -> None:
        self._throttles = {"webhook": settings.throttle_webhook, "email": settings.throttle_email}
        self.schedules = {
            "webhook": settings.retry_schedule_webhook or settings.retry_schedule,
            "email": settings.retry_schedule_email or settings.retry_schedule,
        }
        addresses = Addresses(allowed=map(str, settings.allowed_cidrs), ports=settings.webhook_ports)
        self._transport = AiohttpTransport(allow=addresses.check, deadline=settings.send_timeout, partial=True)
        self._smtp = self._mail_server(settings)
        webhook = Webhook(
            transport=self._transport,
            secrets=Secrets(settings.secrets_dir),
            authorities=Authorities(settings.ca_dir),
            tokens=tokens,
            clock=clock,
            version=__version__,
            deadline=settings.send_timeout,
        )
        email = Email(mailer=self._smtp, sender=settings.email_from, clock=clock)
        self.channels: dict[str, Channel] = {channel.name: channel for channel in (webhook, email)}

    def _mail_server(self, settings: Settings) -> Smtp | None:
        if settings.smtp_url is None:
            return None
        return Smtp(Server.parse(settings.smtp_url.get_secret_value()), timeout=settings.send_timeout)

    def limits(self, notification: Notification) -> list[Limit]:
        """What one send spends: the limit of its organization and channel, and its destination's own."""
        destination = notification.destination
        limits = [self._throttles.get(destination.channel)]
        if destination.rate is not None:
            name = f"destination:{destination.destination_id}"
            limits.append(Limit.per(name, destination.rate.per_minute, MINUTE, destination.rate.burst))
        return [limit for limit in limits if limit is not None]

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()
        if self._smtp is not None:
            await self._smtp.close()


def hosts(settings: Settings, store: Store, clock: Clock) -> Hosts:
    """What the fleet knows of recipients' hosts. Whoever tries one that is out has as long as a claim lasts."""
    return Hosts(fleet=store.fleet, news=store.news, clock=clock, dice=random.random, timeout=settings.lease)
