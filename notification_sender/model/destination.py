"""Where one recipient is told. What only one channel understands stays in ``extra`` and is that channel's to check."""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Identifier = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_:-]+$")]
"""An id of the contract: it appears in keys, headers and file names, so nothing else is let in."""


class Rate(BaseModel):
    """A limit of this destination's own."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    per_minute: Annotated[float, Field(ge=0.001, le=6_000_000)]
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class Destination(BaseModel):
    """What every channel has in common. A channel reads its own fields (``url``, ``to`` …) from ``extra``."""

    model_config = ConfigDict(frozen=True, extra="allow")

    destination_id: Identifier
    channel: Identifier
    template: Identifier | None = None
    rate: Rate | None = None
    events: tuple[str, ...] | None = None
    enabled: bool = True

    @property
    def extra(self) -> dict[str, Any]:
        """The channel's own fields, unchecked."""
        return self.__pydantic_extra__ or {}


def recipient_hash(address: str) -> str:
    """A mail address as the store knows it, 32 hex digits: the same however it is written, and never in the clear."""
    return hashlib.sha256(address.strip().lower().encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Suppression:
    """A recipient who wants nothing of an organization."""

    recipient: str
    """As ``recipient_hash`` says."""
    left: float
    """Seconds until it ends."""
    reason: str
