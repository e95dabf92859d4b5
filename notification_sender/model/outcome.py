"""How an attempt ended: exactly one of these, a closed union that the type checker knows."""

from dataclasses import dataclass

from notification_sender.model.errors import Permanent, SendFailed


@dataclass(frozen=True, slots=True)
class Receipt:
    """The recipient's evidence: what it answered when it accepted.

    ``text`` is one line with nothing personal (a status, a queue id); ``answer`` its words, redacted, 1 KiB at most:
    they may repeat what it was sent, so they are for the ledger alone.
    """

    text: str
    answer: str = ""
    status: int | None = None
    """Of HTTP, or of the mail server."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Accepted by the recipient."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Suppressed:
    """Nothing to send, and nobody's fault: already delivered, expired, disabled."""

    reason: str
    recorded: bool = False
    """The ledger said so itself: there is nothing to write."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not our turn: the same attempt again in ``delay`` seconds."""

    delay: float
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Tried, may work later: the next attempt in ``delay`` seconds."""

    delay: float
    error: SendFailed


@dataclass(frozen=True, slots=True)
class Dead:
    """Never will, or tried often enough. ``detail`` is for the person who reads the dead letter."""

    reason: str
    detail: str
    error: SendFailed | Permanent | None = None
    """After which it was given up."""

    @classmethod
    def of(cls, error: Permanent) -> "Dead":
        """The outcome that a permanent error is."""
        return cls(error.reason, str(error), error)


Outcome = Delivered | Suppressed | Deferred | Failed | Dead
