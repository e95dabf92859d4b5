"""The one that most of what waits is for: it is named in place of a number."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from notification_sender.model.process_report import MAIL_SERVER, WaitCause
from notification_sender.policy.words import counted

MOSTLY = 0.6
"""Part of what waits from which on one subject is named, and not their number."""


@dataclass(frozen=True, slots=True)
class Most:
    """The one that most waits for. ``name`` None: it is not one."""

    name: str | None
    count: int
    """Its own deferrals and failures; of all, where it is not one."""
    different: int
    """How many there are."""
    rest: int = 0
    """Deferrals and failures of the others."""

    @property
    def beside(self) -> str:
        """What the others have, for the end of a sentence."""
        return f" ({self.rest:,} more of {counted(self.different - 1, 'other')})" if self.rest else ""


def most(held: Sequence[WaitCause], name_of: Callable[[WaitCause], str]) -> Most:
    """The most frequent name among ``held``."""
    counts: dict[str, int] = {}
    for it in held:
        counts[name_of(it)] = counts.get(name_of(it), 0) + it.count
    total, first = sum(counts.values()), max(counts, key=counts.__getitem__, default="")
    if first and counts[first] >= MOSTLY * total:
        return Most(first, counts[first], len(counts), total - counts[first])
    return Most(None, total, len(counts))


def destination_of(it: WaitCause) -> str:
    """``organization/destination``. All emails go through one mail server, whoever they are of."""
    if it.subject == MAIL_SERVER or not it.organization:
        return it.subject
    return f"{it.organization}/{it.subject}" if it.subject else it.organization
