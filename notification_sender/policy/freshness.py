"""The freshness fence: what a message says about its subject is never older than what happened."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Fence:
    """``modified``: the subject must carry this time or a later one. Else ``fetched``: a copy fetched before it
    is not used. Neither: any copy will do.
    """

    modified: datetime | None = None
    fetched: datetime | None = None

    def lets(self, *, modified: datetime | None, fetched: datetime) -> bool:
        """Whether a copy with this ``modified``, fetched then, may speak for the subject."""
        if self.modified is not None:
            return modified is not None and modified >= self.modified
        return self.fetched is None or fetched >= self.fetched


def fence(fingerprint: datetime | None, occurred_at: datetime | None) -> Fence:
    """The fingerprint where it is a time, else when it happened."""
    if fingerprint is not None:
        return Fence(modified=fingerprint)
    return Fence(fetched=occurred_at)
