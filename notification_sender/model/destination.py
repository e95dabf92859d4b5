"""A destination: where one recipient receives notifications, and the bounds of its fields.

Fields that only one channel understands stay in ``extra``. That channel checks them.
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MAX_PATTERNS = 64
MAX_PATTERN = 256
MAX_URL = 2048
"""Characters. Browsers, proxies and servers refuse longer URLs."""

MAX_ID = 128
Identifier = Annotated[str, Field(min_length=1, max_length=MAX_ID, pattern=r"^[A-Za-z0-9_:-]+$")]
"""An id of the contract. It appears in keys, headers and file names, so other characters are refused."""


class Rate(BaseModel):
    """A rate limit of this destination alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    per_minute: Annotated[float, Field(ge=0.001, le=6_000_000)]
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class Destination(BaseModel):
    """The fields that all channels have in common. A channel reads its own (``url``, ``to`` …) from ``extra``."""

    model_config = ConfigDict(frozen=True, extra="allow")

    destination_id: Identifier
    channel: Identifier
    template: Identifier | None = None
    rate: Rate | None = None
    # Fail fast: pydantic would otherwise explain ten thousand faults one by one.
    events: (
        Annotated[
            tuple[Annotated[str, Field(max_length=MAX_PATTERN)], ...], Field(max_length=MAX_PATTERNS, fail_fast=True)
        ]
        | None
    ) = None
    enabled: bool = True

    @property
    def extra(self) -> dict[str, Any]:
        """The fields of the channel, unchecked."""
        return self.__pydantic_extra__ or {}


SHORT_HASH = 16
"""Characters of the hash of an address that name it where it is not looked up."""


def recipient_hash(address: str) -> str:
    """Hash a mail address for Redis: 32 hex digits, the same for any letter case. Redis never holds the address."""
    return hashlib.sha256(address.strip().lower().encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Suppression:
    """A recipient who has unsubscribed from an organization."""

    recipient: str
    """The ``recipient_hash`` of the address."""
    left: float
    """Seconds until it ends."""
    reason: str
