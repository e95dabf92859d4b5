"""Announces what an operator changed. The change is made first: it must not depend on RabbitMQ."""

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.announcement import publish_once
from notification_sender.app.asking import answer
from notification_sender.app.backends import topology
from notification_sender.app.reach import Place
from notification_sender.app.tls import broker_address
from notification_sender.model.errors import NotificationSenderError
from notification_sender.settings import Settings
from notification_sender.telemetry import log
from notification_sender.telemetry.change_event import Change

__all__ = ["Change", "announce"]


async def announce(settings: Settings, change: Change) -> str:
    """Publish ``change``, which is made already, on the exchange of events.

    Returns why that failed; empty if the event is published, or events are off.
    """
    log.to_people()
    if settings.events == "off" or settings.amqp_url.scheme == "memory":
        return ""
    clock, url = SystemClock(), settings.amqp_url.get_secret_value()
    event = change.event(prefix=settings.topology_prefix, now=clock.now())
    try:
        await answer(
            Place.of("NS_AMQP_URL", url),
            lambda: publish_once(broker_address(settings), topology(settings), clock, topic=change.topic, event=event),
        )
    except NotificationSenderError as fault:
        return str(fault)
    return ""
