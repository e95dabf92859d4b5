"""What an operator decides in place of the configuration, always with an end: pause, destination, rate, circuit."""

from typing import Literal

from notification_sender.model.records import dataclass
from notification_sender.model.timestamps import format_rfc3339

Kind = Literal["pause", "off", "rate", "circuit"]

OPEN, CLOSED = "open", "closed"
"""The values of an override of a circuit."""

LONGEST_OVERRIDE = 30 * 86_400.0
"""Seconds that an override lasts at most. A forgotten one ends by itself."""


@dataclass(frozen=True, slots=True)
class Override:
    """One override. Times are epoch seconds by the clock of Redis."""

    kind: Kind
    subject: str
    """What it is about, as ``kind/name``: ``organization/org-alpnet``, ``api/aaa``, ``all``."""
    since: float
    until: float
    by: str
    value: str = ""
    """The rate, or ``open`` or ``closed``; nothing of a pause."""
    note: str = ""

    def known(self) -> dict[str, str]:
        """As JSON has it."""
        times = {"since": format_rfc3339(self.since, "seconds"), "until": format_rfc3339(self.until, "seconds")}
        return {
            "kind": self.kind,
            "subject": self.subject,
            "value": self.value,
            **times,
            "by": self.by,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class PauseScope:
    """What a pause holds back. Everything, or what has each of the names that are not empty.

    A destination, and nothing else, needs its organization.
    """

    organization_id: str = ""
    destination_id: str = ""
    channel: str = ""

    @property
    def subject(self) -> str:
        """Its name. No id and no channel has a slash."""
        if self.destination_id:
            return f"destination/{self.organization_id}/{self.destination_id}"
        if self.channel:
            owner = f"{self.organization_id}/" if self.organization_id else ""
            return f"channel/{owner}{self.channel}"
        return f"organization/{self.organization_id}" if self.organization_id else "all"

    @classmethod
    def of(cls, subject: str) -> "PauseScope":
        """The scope with this name.

        Raises:
            ValueError: it is no name of a scope. It never stands for everything.
        """
        match subject.split("/"):
            case ["all"]:
                return cls()
            case ["organization", organization] if organization:
                return cls(organization)
            case ["destination", organization, destination] if organization and destination:
                return cls(organization, destination)
            case ["channel", channel] if channel:
                return cls(channel=channel)
            case ["channel", organization, channel] if organization and channel:
                return cls(organization, channel=channel)
        raise ValueError(f"{subject!r} is no name of what a pause holds back")

    def may_cover(self, organization_id: str, destination_id: str) -> bool:
        """Whether it holds back what is for this destination, if that is of the scope's channel."""
        return self.covers(organization_id, destination_id, self.channel)

    def covers(self, organization_id: str, destination_id: str, channel: str) -> bool:
        """Whether it holds such a notification back."""
        asked = (self.organization_id, self.destination_id, self.channel)
        own = (organization_id, destination_id, channel)
        return all(not it or it == mine for it, mine in zip(asked, own, strict=True))


def owner_of(override: Override) -> str:
    """The organization that it is about; empty: all of them, or none."""
    if override.kind == "rate":
        return override.subject.partition("/")[0]
    if override.kind == "circuit":
        kind, _, rest = override.subject.partition("/")
        owner = rest.partition("/")[0]
        return owner if kind == "host" and owner != "*" else ""
    return PauseScope.of(override.subject).organization_id
