"""All errors of the worker, grouped by what the worker does about them.

::

    NotificationSenderError
    ├── ConfigurationFault       refuse to start, exit 78
    ├── Unready                  RabbitMQ or Redis is away: keep the work, wait, repeat the step
    ├── Permanent                will never work: dead, with its reason
    │   ├── Malformed                malformed               cannot be read at all
    │   ├── SchemaViolation          schema                  readable, but breaks a rule of the contract
    │   ├── RenderFault              render                  template unknown, broken, or yields no JSON
    │   ├── Rejected                 rejected                the recipient refused for good
    │   ├── Gone                     gone                    the recipient answered 410: also disables the destination
    │   ├── ForbiddenAddress         forbidden_address       an address that the worker never dials
    │   ├── ChannelNotConfigured     channel_not_configured  an email, and no mail server is configured
    │   ├── TooLarge                 too_large               larger than RabbitMQ takes, or than can be read back
    │   ├── TenantMismatch           tenant_mismatch         the subject belongs to another organization
    │   └── UnknownKind              schema                  no recipe of that name
    └── Transient                may work later
        ├── ClaimLost                our claim ran out before the first byte: nothing was sent, retry
        ├── SlowDown                 a mail server asks us to come later: no attempt is used
        │   └── SenderRefused            the mail server refuses us, not the recipient: no attempt is used
        ├── PlatformFault            our own APIs: ``cause`` names the API and the phase
        │   ├── ContextUnavailable       an API failed: the unit is deferred, no attempt is used
        │   └── SubjectNotFound          404 for the subject: deferred briefly, dead the third time
        ├── SetupFault               a file of the operator's cannot be used: no attempt is used
        ├── TransportError           no answer over HTTP: a channel makes SendFailed of it, an API client
        │                            ContextUnavailable
        └── SendFailed               an attempt was used; ``sent`` says whether bytes may have arrived
"""

from enum import StrEnum
from typing import ClassVar

from notification_sender.model.cause import NOBODY_KNOWS, Cause, Phase


class NotificationSenderError(Exception):
    """The root of all errors. No other exception leaves a port."""


class ConfigurationFault(NotificationSenderError):
    """The configuration cannot work. ``str()`` is the whole message for the operator."""


class Unready(NotificationSenderError):
    """RabbitMQ or Redis is away. Nothing is decided: the worker repeats the same step when it is back."""


class Permanent(NotificationSenderError):
    """Will never work. ``reason`` goes into the header ``x-reason``, ``str()`` into ``x-detail``.

    ``answer``: the recipient's answer, redacted, at most 1 KiB. It may repeat what was sent to the recipient. So it
    goes into the ledger alone, never into ``str()``, a log, a header or an event. ``status``: the status code of the
    answer.
    """

    reason: ClassVar[str]

    def __init__(self, message: str, *, answer: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.answer = answer
        self.status = status


class Malformed(Permanent):
    reason = "malformed"


class SchemaViolation(Permanent):
    reason = "schema"


class UnknownKind(SchemaViolation):
    """The unit names a recipe that this worker does not have."""


class RenderFault(Permanent):
    """A template failed. ``str()`` names template, line and variable."""

    reason = "render"


class Rejected(Permanent):
    reason = "rejected"


class Gone(Permanent):
    reason = "gone"


class ForbiddenAddress(Permanent):
    reason = "forbidden_address"


class ChannelNotConfigured(Permanent):
    reason = "channel_not_configured"


class TooLarge(Permanent):
    """Larger than RabbitMQ takes, or than a parked copy may be to be read back. Its dead letter has no content.

    ``str()`` names the bound that is exceeded, and repeats no content.
    """

    reason = "too_large"


class TenantMismatch(Permanent):
    reason = "tenant_mismatch"


class Transient(NotificationSenderError):
    """May work later."""


class SetupFault(Transient):
    """A file of the operator for a destination is missing or unusable. Nothing was sent, and no attempt is used.

    ``reason`` goes into ``x-reason`` if this lasts too long. ``str()`` says which file, why, and what to do.
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class PlatformFault(Transient):
    """One of our own APIs did not deliver a fact that a unit or a send needs. ``cause`` says what is known."""

    def __init__(self, message: str, *, cause: Cause = NOBODY_KNOWS) -> None:
        super().__init__(message)
        self.cause = cause


class ContextUnavailable(PlatformFault):
    """A required source was not fetched in time. ``str()`` names the source and the failure."""


class Outage(ContextUnavailable):
    """The breaker of an API is open, so it was not called. ``api`` is its name."""

    def __init__(self, api: str, seconds: float) -> None:
        words = f"{api} is out, it is tried again in {seconds:.1f} s"
        super().__init__(words, cause=Cause(api=api, phase=Phase.BREAKER))
        self.api = api


class SubjectNotFound(PlatformFault):
    """The API answers 404 for the subject of the unit. The record may only be late."""


class Sent(StrEnum):
    """Whether bytes of a failed send may have reached the recipient."""

    NOTHING = "nothing"
    """Certainly no byte of the message left: DNS, connect or TLS failed, or the connection was refused."""
    UNKNOWN = "unknown"
    """Bytes left and no answer came. The recipient may have accepted."""
    ANSWERED = "answered"
    """The recipient answered and refused."""


class TransportError(Transient):
    """An exchange over HTTP came to no answer that may be used. It says nothing of what follows from that.

    ``sent`` and ``ill`` as of SendFailed: ``ill`` is False where the trouble was ours.
    """

    def __init__(self, message: str, *, sent: Sent, ill: bool = False) -> None:
        super().__init__(message)
        self.sent = sent
        self.ill = ill


class SendFailed(Transient):
    """One attempt failed. ``retry_after``: the delay that the recipient asks for, s; None: it asks for none.

    ``ill``: the failure concerns the whole host (no answer, a 5xx), not this one message. ``between``: the host is a
    service on the way, not the recipient. ``answer`` and ``status``: as for ``Permanent``.
    """

    def __init__(
        self,
        message: str,
        *,
        sent: Sent,
        retry_after: float | None = None,
        ill: bool = False,
        between: bool = False,
        answer: str = "",
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.sent = sent
        self.retry_after = retry_after
        self.ill = ill
        self.between = between
        self.answer = answer
        self.status = status

    @classmethod
    def of(cls, error: TransportError) -> "SendFailed":
        """The failed attempt that an exchange without an answer is."""
        return cls(str(error), sent=error.sent, ill=error.ill)


class ClaimLost(Transient):
    """Our claim had run out before the first byte, or its record is gone. Nothing was sent."""


class SlowDown(Transient):
    """A service between the worker and recipients, the mail server, asks to be called again in ``seconds``.

    This is not the recipient's answer, so no attempt is used. ``of_all``: the wait holds for the whole fleet, not for
    this process alone. ``reason`` is the reason of the deferral.
    """

    reason: ClassVar[str] = "slow_down"

    def __init__(self, message: str, *, seconds: float, of_all: bool = True) -> None:
        super().__init__(message)
        self.seconds = seconds
        self.of_all = of_all


class SenderRefused(SlowDown):
    """The mail server refuses us: our name, login, domain or address. ``str()`` has its codes and the step."""

    reason = "sender_rejected"
