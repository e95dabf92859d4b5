"""Every error of the worker, grouped by what the worker does about it.

::

    NotificationSenderError
    ├── ConfigurationFault       refuse to start, exit 78
    ├── Unready                  our own broker or store is away: keep the work, pause, go on when it is back
    ├── Permanent                never will work: dead, with its reason
    │   ├── Malformed                malformed               cannot be read at all
    │   ├── SchemaViolation          schema                  readable, but breaks a rule of the contract
    │   ├── RenderFault              render                  template unknown, broken, or yields no JSON
    │   ├── Rejected                 rejected                the recipient said no for good
    │   ├── Gone                     gone                    the recipient said 410: also disables the destination
    │   ├── ForbiddenAddress         forbidden_address       an address we never dial
    │   ├── ChannelNotConfigured     channel_not_configured  an email, but no mail server is set
    │   ├── TenantMismatch           tenant_mismatch         the subject belongs to another organization
    │   └── UnknownKind              schema                  no recipe of that name
    └── Transient                may work later
        ├── ClaimLost                our claim ran out before the first byte: nothing was sent, ask again
        ├── SlowDown                 a service between us and the recipient has too much to do: no attempt is used
        ├── ContextUnavailable       our own APIs are unwell: the unit is deferred, no attempt is used
        ├── SubjectNotFound          a 404 of the subject: deferred shortly, the third time dead
        └── SendFailed               an attempt was used; ``sent`` says whether bytes may have arrived
"""

from enum import StrEnum
from typing import ClassVar


class NotificationSenderError(Exception):
    """The root: nothing else leaves a port."""


class ConfigurationFault(NotificationSenderError):
    """The configuration cannot work; ``str()`` is the whole message for the operator."""


class Unready(NotificationSenderError):
    """Our own broker or store is away. Nothing is decided: the same step is taken again when it is back."""


class Permanent(NotificationSenderError):
    """Never will work. ``reason`` is what ``x-reason`` says, ``str()`` what ``x-detail`` says.

    ``answer``: the recipient's own words, redacted, 1 KiB at most. They may repeat what it was sent: they are for the
    ledger alone: never in ``str()``, a log, a header or an event. ``status``: the number that its answer began with.
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
    """``str()`` names template, line and variable."""

    reason = "render"


class Rejected(Permanent):
    reason = "rejected"


class Gone(Permanent):
    reason = "gone"


class ForbiddenAddress(Permanent):
    reason = "forbidden_address"


class ChannelNotConfigured(Permanent):
    reason = "channel_not_configured"


class TenantMismatch(Permanent):
    reason = "tenant_mismatch"


class Transient(NotificationSenderError):
    """May work later."""


class ContextUnavailable(Transient):
    """A required source could not be fetched in time; says which and how."""


class Outage(ContextUnavailable):
    """An API is out, and was not asked. ``api`` is its name."""

    def __init__(self, api: str, seconds: float) -> None:
        super().__init__(f"{api} is out, it is tried again in {seconds:.1f} s")
        self.api = api


class SubjectNotFound(Transient):
    """The API answers 404 for what the unit is about: it may only be late."""


class Sent(StrEnum):
    """What is known about the bytes of a send that failed."""

    NOTHING = "nothing"
    """Certain: no byte of the message left (DNS, connect, TLS, refused)."""
    UNKNOWN = "unknown"
    """Bytes left and no answer came: it may have been accepted."""
    ANSWERED = "answered"
    """The recipient answered, and the answer was no."""


class SendFailed(Transient):
    """One attempt failed. ``retry_after`` is the recipient's own wish, in seconds, where it has one.

    ``ill``: it says that the whole host is unwell (no answer, a 5xx), not this one message; ``between``: and this is a
    service on the way, not the recipient. ``answer`` and ``status`` as of Permanent.
    """

    between = False

    def __init__(
        self,
        message: str,
        *,
        sent: Sent,
        retry_after: float | None = None,
        ill: bool = False,
        answer: str = "",
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.sent = sent
        self.retry_after = retry_after
        self.ill = ill
        self.answer = answer
        self.status = status


class ClaimLost(Transient):
    """Before the first byte it turned out that our claim had run out, or its record is gone: nothing was sent."""


class SlowDown(Transient):
    """A service that stands between us and recipients (the mail server) asks us to come later, in ``seconds``.

    It is not the recipient's answer: no attempt is used. ``of_all``: it holds for all that goes through that service,
    for the whole fleet, and not for this process alone.
    """

    def __init__(self, message: str, *, seconds: float, of_all: bool = True) -> None:
        super().__init__(message)
        self.seconds = seconds
        self.of_all = of_all
