"""How an attempt ended: exactly one of these types, a closed union that the type checker knows."""

from notification_sender.model.cause import Cause
from notification_sender.model.errors import Permanent, SendFailed
from notification_sender.model.records import dataclass


@dataclass(frozen=True, slots=True)
class Receipt:
    """The recipient's answer when it accepted.

    ``text`` is one line without personal data: a status, a queue id. The wording of the answer is not kept.
    """

    text: str
    status: int | None = None
    """The status code of HTTP or SMTP."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is not sent, or not now. In logs, events and records it is written ``throttled:webhook``."""

    code: str
    """In snake_case."""
    subject: str = ""
    """Which limit, host, rule … it is about."""

    def __str__(self) -> str:
        return f"{self.code}:{self.subject}" if self.subject else self.code


@dataclass(frozen=True, slots=True)
class Delivered:
    """The recipient accepted the notification."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Suppressed:
    """There is nothing to send, and no fault: already delivered, expired, disabled. ``subject`` as of Deferred."""

    reason: str
    subject: str = ""
    recorded: bool = False
    """The ledger has recorded this outcome already, so there is nothing to write."""

    @property
    def because(self) -> Reason:
        """The reason, and what it is about."""
        return Reason(self.reason, self.subject)


@dataclass(frozen=True, slots=True)
class Deferred:
    """The worker makes the same attempt again in ``delay`` seconds. No attempt is used.

    ``subject``: the limit, host, organization … that the reason is about. ``detail``: text for readers of the log.
    """

    delay: float
    reason: str
    subject: str = ""
    cause: Cause | None = None
    """Set where one of our own APIs is the reason."""
    detail: str = ""
    recorded: bool = False
    """The ledger has told the story of this outcome already."""

    @property
    def because(self) -> Reason:
        """The reason, and what it is about."""
        return Reason(self.reason, self.subject or str(self.cause or ""))


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed and is used. The worker makes the next one in ``delay`` seconds."""

    delay: float
    error: SendFailed


@dataclass(frozen=True, slots=True)
class Dead:
    """The notification will never be sent, or all attempts are used. ``detail``: for readers of the dead letter."""

    reason: str
    detail: str
    error: SendFailed | Permanent | None = None
    """The error of the last attempt."""
    cause: Cause | None = None
    """Set where one of our own APIs deferred it until then."""

    @property
    def because(self) -> Reason | None:
        """The reason, and the cause; None where no cause is known."""
        return Reason(self.reason, str(self.cause)) if self.cause else None

    @classmethod
    def of(cls, error: Permanent) -> "Dead":
        """Make the outcome of a permanent error."""
        return cls(error.reason, str(error), error)


Outcome = Delivered | Suppressed | Deferred | Failed | Dead
