"""One record of the ledger in plain Python, as lua/record.lua has it on Redis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from notification_sender.policy.limits import Booking
from notification_sender.ports.ledger import Claim, State

Number = tuple[int, int]
"""Replays, and the attempt since the last of them: the later copy has the larger one."""


@dataclass(slots=True)
class Record:
    """As lua/record.lua has it. Times are µs since the epoch."""

    state: Literal["waiting", "claimed", "transmitting"] | State = "waiting"
    replays: int = 0
    attempt: int = 0
    fence: int = 0
    token: str = ""
    holder: str = ""
    first: str = ""
    noted: int = 0
    lease: int = 0
    takeovers: int = 0
    doubt: bool = False
    due: int = 0
    booking: Booking | None = None
    text: str = ""
    notifications: Sequence[str] = ()
    ends: int = 0
    """When it is forgotten."""

    @property
    def number(self) -> Number:
        return self.replays, self.attempt

    @number.setter
    def number(self, number: Number) -> None:
        self.replays, self.attempt = number

    @property
    def claimed(self) -> bool:
        return self.state in {"claimed", "transmitting"}

    @property
    def over(self) -> bool:
        return not self.claimed and self.state != "waiting"

    def held(self, now: int) -> bool:
        """Somebody works on it, or died with it a moment ago."""
        return self.claimed and self.lease > now

    def held_by(self, claim: Claim) -> bool:
        return self.claimed and (self.token, self.fence) == (claim.token, claim.fence)

    def free(self) -> None:
        """Nobody holds it any more, and what it waited for is over."""
        self.lease, self.takeovers, self.doubt, self.due, self.booking = 0, 0, False, 0, None
        self.holder = ""
