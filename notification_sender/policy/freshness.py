"""The freshness fence: a message never says something about its subject that is older than the event."""

from datetime import datetime

from notification_sender.model.records import dataclass


@dataclass(frozen=True, slots=True)
class Fence:
    """``modified``: the subject must carry this time or a later one. Else ``fetched``: a fact fetched before it is not
    used. Neither: any fact may be used.
    """

    modified: datetime | None = None
    fetched: datetime | None = None

    def satisfied_by(self, *, modified: datetime | None, fetched: datetime) -> bool:
        """Whether a fact with this ``modified``, fetched at this time, may be used for the subject."""
        if self.modified is not None:
            return modified is not None and modified >= self.modified
        return self.fetched is None or fetched >= self.fetched


def fence(fingerprint: datetime | None, occurred_at: datetime | None) -> Fence:
    """The fence of a unit: its fingerprint where that is a time, else the time of the event."""
    if fingerprint is not None:
        return Fence(modified=fingerprint)
    return Fence(fetched=occurred_at)
