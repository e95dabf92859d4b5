"""The channels that there are. A new one is one file with its class, and one entry: here, or in another package
(docs/how-to/add-a-channel.md).
"""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Literal

from notification_sender import __version__
from notification_sender.channels.email import Email, Mailer
from notification_sender.channels.notices import Notices
from notification_sender.channels.signing import Secrets
from notification_sender.channels.trust_store import TrustStore
from notification_sender.channels.webhook import Tokens, Transport, Webhook
from notification_sender.plugins import with_installed
from notification_sender.ports.channels import Channel
from notification_sender.ports.clock import Clock

GROUP = "notification_sender.channels"
"""Group of entry points of other packages: the name is the channel, the value is its ``ChannelType``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelResources:
    """What the channels of one process are built from, and share."""

    clock: Clock
    transport: Transport
    """The HTTP engine for recipients: it dials no forbidden address."""
    secrets: Secrets
    trust_store: TrustStore
    tokens: Tokens
    notices: Notices
    send_timeout: float
    """Seconds for one send."""
    mailer: Mailer | None = None
    """None: ``NS_SMTP_URL`` is not set."""
    email_from: str | None = None
    options: Mapping[str, str | None] = field(default_factory=dict)
    """The values of the variables that the channel declares itself."""
    closing: AsyncExitStack = field(default_factory=AsyncExitStack)
    """The worker closes it when it stops: a channel with connections of its own adds how they are closed."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much of a channel is rendered at once, where a server on the way takes only so much."""

    at_once: int
    retry_after: float
    """Seconds after which a notification that found no place asks again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelType:
    """Everything about a channel that is known before one is built.

    ``throttle`` and ``retry_schedule`` are the defaults of ``NS_THROTTLE_<NAME>`` and ``NS_RETRY_SCHEDULE_<NAME>``
    (None: as ``NS_RETRY_SCHEDULE``). ``on_unknown``: what follows on a send whose outcome is unknown, ``hold`` for a
    dead letter that a person decides about. ``options``: further variables by name, and what each is for. They are
    strings, and may be given as a file as all secrets may.
    """

    name: str
    """As destinations and templates have it: ``a-z``, ``0-9`` and ``_``."""
    parts: Mapping[str, bool]
    """As ``Channel.parts``."""
    create: Callable[[ChannelResources], Channel]
    throttle: str = "600/minute burst 60"
    retry_schedule: str | None = None
    on_unknown: Literal["resend", "hold"] = "resend"
    options: Mapping[str, str] = field(default_factory=dict)
    capacity: Capacity | None = None
    configured: Callable[[ChannelResources], bool] = lambda _: True
    """Whether this worker can send on it: every kind needs a template for a channel that can be sent on."""


def _webhook(given: ChannelResources) -> Channel:
    return Webhook(
        transport=given.transport,
        secrets=given.secrets,
        trust_store=given.trust_store,
        tokens=given.tokens,
        notices=given.notices,
        clock=given.clock,
        version=__version__,
        deadline=given.send_timeout,
    )


SHIPPED = (
    ChannelType(name=Webhook.name, parts=Webhook.parts, create=_webhook),
    ChannelType(
        name=Email.name,
        parts=Email.parts,
        create=lambda given: Email(mailer=given.mailer, sender=given.email_from, clock=given.clock),
        configured=lambda given: given.mailer is not None,
        # Four for each of the four connections to the mail server: one in transfer, the others on their way.
        capacity=Capacity(at_once=16, retry_after=5.0),
    ),
)


def channel_types() -> dict[str, ChannelType]:
    """By name: the shipped ones, and those of other packages that are installed.

    Raises:
        ConfigurationFault: lists every channel of another package that cannot be used, with the reason.

    """
    return with_installed(GROUP, ChannelType, SHIPPED, what="channel")


def parts() -> dict[str, Mapping[str, bool]]:
    """The template parts of every channel."""
    return {name: it.parts for name, it in channel_types().items()}
