"""How recipients are told."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from notification_sender.model.destination import Destination
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Receipt
from notification_sender.ports.ledger import Claim

Begin = Callable[[], Awaitable[None]]
"""To be awaited right before the first byte that could make a recipient accept. It checks the claim for the last time.
From then on, an end without an answer is unknown. Raises ClaimLost and Unready: then nothing may be sent."""


class LeaseHolder(Protocol):
    """Claims on which there is work: they are renewed until they are dropped."""

    def take(self, claim: Claim | None) -> bool: ...
    def drop(self, claim: Claim | None) -> None: ...


class Channel(Protocol):
    """How one kind of destination is told. A new one is one file and one entry, as channels/registry.py says."""

    @property
    def name(self) -> str: ...
    @property
    def parts(self) -> Mapping[str, bool]:
        """The template parts it wants, by suffix (``json``, ``subject``), and whether each is HTML."""

    @property
    def fields(self) -> Mapping[str, int]:
        """The fields of a destination that it reads itself, each a text, and of how many characters at most. No other
        is kept: what nobody reads would travel with every parked copy.
        """

    def address(self, destination: Destination) -> str:
        """Where it goes: the URL, the mail address.

        Raises:
            SchemaViolation: a field of its own is missing or breaks a rule.

        """

    def host(self, address: str) -> str:
        """What fails as a whole when it is unwell, for this address: one breaker for all that goes there."""

    def check(self, organization_id: str, destination: Destination) -> None:
        """Whether all is there that a send to this destination needs of ours. Cheap: asked before each claim.

        Raises:
            SetupFault: a file of ours is missing or cannot be used.
            Permanent: our rules send nothing there.
            Unready: this process may open no more files just now.

        """

    def sends_at_once(self, organization_id: str, destination: Destination) -> bool:
        """Whether the first byte follows without a wait, because a connection is open. Cheap: asked before each claim.
        Then the claim begins the send as well, which saves a question to Redis. False is always right.
        """

    async def send(self, notification: Notification, begin: Begin) -> Receipt:
        """One attempt, within the send deadline. ``begin`` is awaited once there is a connection, and again before
        every further transmission of the same attempt.

        Raises:
            Permanent: the recipient or our rules say never.
            SendFailed: may work later; says whether bytes may have arrived.
            SlowDown: no attempt is used.
            ContextUnavailable: our own platform is unwell; nothing was sent.
            SetupFault: as ``check``; nothing was sent.
            ClaimLost, Unready: from ``begin``; nothing was sent.

        """
