"""The report of a sandbox on a worker: its counts, and a summary for people."""

from dataclasses import dataclass

from notification_sender.sandbox.inbox.inbox import Inbox
from notification_sender.sandbox.platform.endpoints import Endpoint
from notification_sender.sandbox.platform.platform import Platform

FEWEST_FACTS = 3
"""The facts that each unit needs at least if units share none: organization, incident, address."""


@dataclass(frozen=True, slots=True)
class Report:
    """Counts of the platform and of the recipients. The worker counts none of it."""

    units: int
    expected: int
    """Notifications that should have been accepted."""
    seconds: float
    calls: dict[str, int]
    """API calls by endpoint."""
    forbidden: int
    leaked: int
    webhooks: int
    """Accepted webhooks. Each notification counts once."""
    emails: int
    duplicates: int
    verified: int
    unverified: int

    @property
    def total_calls(self) -> int:
        return sum(self.calls.values())

    @property
    def faultless(self) -> bool:
        """Nothing is missing or duplicated, every signature is valid, and no forbidden call was made."""
        wrong = self.duplicates + self.unverified + self.forbidden + self.leaked
        return self.webhooks + self.emails == self.expected and wrong == 0


def report(platform: Platform, inbox: Inbox, *, units: int, expected: int, seconds: float) -> Report:
    """Count the results of ``units`` work units."""
    emails = {letter.notification_id for letter in inbox.emails}
    return Report(
        units=units,
        expected=expected,
        seconds=seconds,
        calls={str(endpoint): count for endpoint, count in platform.calls.items()},
        forbidden=platform.forbidden,
        leaked=platform.leaks.total(),
        webhooks=len(set(inbox.accepted) - emails),
        emails=len(emails),
        duplicates=inbox.duplicates,
        verified=len(inbox.webhooks) - len(inbox.unverified),
        unverified=len(inbox.unverified),
    )


def summary(seen: Report) -> str:
    """Return a summary for people."""
    accepted = seen.webhooks + seen.emails
    alone = FEWEST_FACTS * seen.units
    saved = max(0.0, 1 - seen.total_calls / alone)
    lines = [
        f"time        {seen.seconds:.1f} s, {accepted / max(seen.seconds, 0.001):.0f} notifications a second",
        f"API calls   {seen.total_calls} in all, {seen.total_calls / seen.units:.2f} a unit",
        *(f"              {seen.calls[it]:5}  {it}" for it in Endpoint if seen.calls.get(it)),
        f"cache       {alone} calls at least if no unit shared a fact ({FEWEST_FACTS} a unit): {saved:.0%} saved",
        f"delivered   {seen.webhooks} webhooks and {seen.emails} emails of {seen.expected} notifications",
        f"signatures  {seen.verified} verified by the recipients, {seen.unverified} not",
        f"duplicates  {seen.duplicates}",
    ]
    if seen.forbidden or seen.leaked:
        lines.append(f"forbidden   {seen.forbidden} calls, {seen.leaked} private headers sent to geocoding")
    return "\n".join(lines)
