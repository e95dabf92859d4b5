"""How recipients are told."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from notification_sender.model.destination import Destination
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Receipt
from notification_sender.ports.ledger import Claim

Begin = Callable[[], Awaitable[None]]
"""To be awaited right before the first byte that could make a recipient accept: the claim is looked at for the last
time, and from then on an end without an answer is unknown. Raises ClaimLost and Unready: then nothing may be sent."""


class Holding(Protocol):
    """Claims on which there is work: they are renewed until they are dropped."""

    def take(self, claim: Claim | None) -> bool: ...
    def drop(self, claim: Claim | None) -> None: ...


class Channel(Protocol):
    """How one kind of destination is told. A new one is one file in channels/ and one entry in app/recipients.py."""

    @property
    def name(self) -> str: ...
    @property
    def parts(self) -> Mapping[str, bool]:
        """The template parts it wants, by suffix (``json``, ``subject``), and whether each is HTML."""

    def address(self, destination: Destination) -> str:
        """Where it goes: the URL, the mail address.

        Raises:
            SchemaViolation: a field of its own is missing or breaks a rule.

        """

    def host(self, address: str) -> str:
        """What fails as a whole when it is unwell, for this address: one breaker for all that goes there."""

    async def send(self, notification: Notification, begin: Begin) -> Receipt:
        """One attempt, within the send deadline. ``begin`` is awaited once there is a connection, and again before
        every further transmission of the same attempt.

        Raises:
            Permanent: the recipient or our rules say never.
            SendFailed: may work later; says whether bytes may have arrived.
            SlowDown: no attempt is used.
            ContextUnavailable: our own platform is unwell; nothing was sent.
            ClaimLost, Unready: from ``begin``; nothing was sent.

        """
