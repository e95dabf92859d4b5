"""How much room of Redis notifications take: measured on Redis 7.0, docs/how-to/size-redis.md says how."""

from collections.abc import Iterable
from dataclasses import dataclass

from notification_sender.policy.limits import SECOND, Limit

RECORD = 320
"""Bytes of the record of a notification that is over, its key and all: none of it is decided by the recipient."""

STORY = 710
"""Bytes of the story of one that was accepted at its first attempt."""

DAY = 86_400
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Retention:
    """For how many seconds each is kept."""

    records: float
    stories: float

    @property
    def bytes_of_one_a_day(self) -> float:
        """What one notification a day takes, once as much ends as comes."""
        return (RECORD * self.records + STORY * self.stories) / DAY


def most_a_day(limits: Iterable[Limit | None]) -> float | None:
    """Notifications that one organization may be sent in a day, by all channels; None where one has no limit."""
    days = [limit and DAY * SECOND / limit.interval for limit in limits]
    return None if None in days else sum(day for day in days if day)


def fits(used: int, most: int, retention: Retention, limits: Iterable[Limit | None]) -> str:
    """One line: what is used (bytes), what room there is (``most`` 0: as much as the machine has), and for how much."""
    room = f"{used / MIB:,.0f} MiB used of {most / MIB:,.0f}" if most else f"{used / MIB:,.0f} MiB used, no maxmemory"
    each = retention.bytes_of_one_a_day
    holds = f", room for {most / each:,.0f} notifications a day" if most else ""
    daily = most_a_day(limits)
    if daily is None:
        return f"{room}{holds}; an organization without a limit may fill it"
    return f"{room}{holds}; one organization at its limits ({daily:,.0f} a day) takes {daily * each / MIB:,.0f} MiB"
