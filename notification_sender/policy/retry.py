"""When to try again, and when to give up: the only place that decides either, for units and notifications.

Two more ends are counted elsewhere: the scripts of the ledger count the workers that died with a message, and
``RetryBudget`` bounds the retries of calls to an API.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from notification_sender.model.durations import duration
from notification_sender.model.errors import ContextUnavailable, SendFailed, SetupFault, SubjectNotFound
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Dead, Deferred, Failed, Suppressed

JITTER = 0.1
"""Each delay is spread by this share up and down: a fleet that failed together must not return together."""

MAX_BUGS = 5
"""A message that met so many unexpected errors is dead, as after so many leases that ran out."""

SUBJECT_TRIES = 3
"""A 404 of the subject may only be replication lag, so it is asked for so often."""

SUBJECT_DELAYS = (1.0, 3.0)
"""Seconds before the second and the third try."""

TOKEN_TROUBLE = 4
"""A token for a destination backs off as after so many tries, by up to 8 s from the start. The API is not asked while
its circuit is open, so this costs it nothing; 60 s would be added to every recovery."""

MAX_RETRY_AFTER = timedelta(hours=24).total_seconds()


@dataclass(frozen=True, slots=True)
class Schedule:
    """The delays between attempts, in seconds.

    The default, from Standard Webhooks 1.0.0 (attempt: seconds after the one before, then in all):

    ======= === ==== ===== ===== ===== ====== ====== ====== ======
    2       3   4    5     6     7     8      9      10
    5s      5m  30m  2h    5h    10h   14h    20h    24h
    5s      5m  35m  2.6h  7.6h  17.6h 31.6h  51.6h  75.6h
    ======= === ==== ===== ===== ===== ====== ====== ====== ======
    """

    delays: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> "Schedule":
        """Read ``5s 5m 30m``.

        Raises:
            ValueError: empty, or one of them is no duration.

        """
        delays = tuple(duration(word) for word in text.split())
        if not delays:
            raise ValueError("an empty schedule: name at least one delay, as in 5s 5m 30m")
        return cls(delays)

    def delay_after(self, attempt: int, dice: float, retry_after: float | None = None) -> float | None:
        """Seconds until the attempt after ``attempt`` (1 is the first), None where there is no further one.

        ``dice`` is uniform in [0, 1). A recipient's ``retry_after`` lengthens the delay, up to a day, never
        shortens it.
        """
        if attempt > len(self.delays):
            return None
        delay = self.delays[attempt - 1] * (1 + JITTER * (2 * dice - 1))
        return max(delay, min(retry_after or 0.0, MAX_RETRY_AFTER))


@dataclass(frozen=True, slots=True)
class Age:
    """How old a message is."""

    seconds: float
    """Since it was first seen, without the time for which it was paused."""
    paused: float = 0.0
    """That time, s."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Decides after each fault: one more try, or the end. Ages and delays in seconds; ``dice`` is uniform in [0, 1)."""

    schedules: Mapping[str, Schedule]
    """By channel."""
    delivery_max_age: float
    """A notification is given up once its unit was first seen so long ago, whatever held it up."""
    platform_max_age: float
    """Trouble of our own platform, or of a file of the operator's, is put up with for so long."""

    def is_expired(self, age: float) -> bool:
        """Whether a notification is too old for one more try."""
        return age > self.delivery_max_age

    def given_up(self, notification: Notification, *, age: float, fault: SetupFault | None) -> Dead:
        """The end of an expired notification. ``fault``: that of its destination's files now."""
        if fault is not None:
            return Dead(fault.reason, f"given up after {age:.0f} s: {fault}")
        if not notification.content:
            return Dead("render", f"given up after {age:.0f} s: its template failed all that time, or its context")
        last = notification.tries[-1].error if notification.tries else "none, it was never its turn"
        return Dead("exhausted", f"{notification.attempt - 1} attempts in {age:.0f} s; the last: {last}")

    def past_schedule(self, channel: str, age: float) -> bool:
        """Whether it is older than its whole schedule: then it is tried although its host is out."""
        return age > sum(self.schedules[channel].delays) * (1 + JITTER)

    def next_delay(
        self, channel: str, attempt: int, *, age: float, dice: float, retry_after: float | None = None
    ) -> float | None:
        """Seconds as ``Schedule.delay_after``; None also where the next attempt would come too late."""
        delay = self.schedules[channel].delay_after(attempt, dice, retry_after)
        return None if delay is None or self.is_expired(age + delay) else delay

    def failed(self, channel: str, attempt: int, fault: SendFailed, *, age: float, dice: float) -> Failed | Dead:
        """An attempt was used."""
        delay = self.next_delay(channel, attempt, age=age, dice=dice, retry_after=fault.retry_after)
        if delay is None:
            return Dead("exhausted", f"{attempt} attempts in {age:.0f} s; the last: {fault}", error=fault)
        return Failed(delay, fault)

    def without_token(self, channel: str, fault: ContextUnavailable, *, age: float, dice: float) -> Deferred | Dead:
        """The token for a destination comes from our own platform: no attempt is used."""
        if age > sum(self.schedules[channel].delays) + self.platform_max_age:
            return Dead("context_unavailable", str(fault), cause=fault.cause)
        delay = backoff(TOKEN_TROUBLE, dice)
        return Deferred(delay, "context_unavailable", cause=fault.cause, detail=str(fault))

    def without_file(
        self, notification: Notification, fault: SetupFault, *, now: float, age: Age, dice: float
    ) -> Deferred | Dead:
        """The operator has to provide a file: no attempt is used. Its wait counts from when the attempt was due. An
        earlier pause lengthens the wait: nobody knows when it was.
        """
        attempt, tries = notification.attempt, notification.tries
        waited = max(now - tries[-1].at - age.paused, 0.0) if tries and attempt > 1 else age.seconds
        if waited > self.platform_max_age + self._pause_before(notification.destination.channel, attempt):
            return Dead(fault.reason, f"given up after {waited:.0f} s: {fault}")
        return Deferred(until_looked_again(waited, dice), fault.reason, str(fault))

    def _pause_before(self, channel: str, attempt: int) -> float:
        """Seconds that may lie between an attempt and the one before, by the schedule or by a recipient's wish."""
        if attempt == 1:
            return 0.0
        delays = self.schedules[channel].delays
        return max(delays[min(attempt - 2, len(delays) - 1)] * (1 + JITTER), MAX_RETRY_AFTER)

    def unavailable(
        self, fault: ContextUnavailable, *, attempt: int, age: float, expires_in: float | None, dice: float
    ) -> Deferred | Dead:
        """The context cannot be had: full jitter under a cap that doubles, until the unit expires or is too old."""
        left = min(self.platform_max_age - age, self.platform_max_age if expires_in is None else expires_in)
        if left <= 0:
            detail = f"given up after {attempt} tries in {age:.0f} s; the last: {fault}"
            return Dead("context_unavailable", detail, cause=fault.cause)
        delay = min(backoff(attempt, dice), left)
        return Deferred(delay, "context_unavailable", cause=fault.cause, detail=str(fault))

    def unavailable_anew(
        self, fault: ContextUnavailable, *, age: float, replayed: bool, expires_in: float | None, dice: float
    ) -> Deferred | Dead:
        """As ``unavailable``, for a notification that is composed anew, which is not counted."""
        # A schedule that doubles has come so far by that age.
        attempt = 1 + int(math.log2(1 + age))
        # Without a replay it was put off because its template failed, and the API was not asked meanwhile.
        age = age if replayed else 0.0
        return self.unavailable(fault, attempt=attempt, age=age, expires_in=expires_in, dice=dice)

    def not_found(self, fault: SubjectNotFound, *, misses: int) -> Deferred | Dead:
        """``misses``: how often the subject was not found before this time."""
        if misses + 1 >= SUBJECT_TRIES:
            return Dead("subject_not_found", f"{fault}, {misses + 1} times", cause=fault.cause)
        return Deferred(SUBJECT_DELAYS[misses], "subject_not_found", cause=fault.cause, detail=str(fault))


def has_expired(expires_at: datetime, now: float) -> bool:
    """Whether its publisher wants it sent no more. ``now``: epoch time."""
    return expires_at.timestamp() <= now


def expired_unit(attempt: int) -> Dead | Suppressed:
    """The end of a unit that has expired: nobody's fault, unless our own platform held it up."""
    if attempt > 1:
        return Dead("context_unavailable", "expired while our own APIs were unwell")
    return Suppressed("expired")


BACKOFF_BASE = 1.0
BACKOFF_CAP = 60.0


def backoff(attempt: int, dice: float) -> float:
    """Seconds to wait after the ``attempt``-th trouble of our own APIs: full jitter under a cap that doubles.

    Caps: 1, 2, 4, 8, 16, 32, 60, 60 … Full jitter (uniform from nothing to the cap) spreads a backlog best;
    see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    cap = min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(attempt - 1, 10))
    return dice * cap


SOONEST_LOOK, LATEST_LOOK = 2.0, 40.0
"""Seconds between two looks for a file of the operator's, before jitter adds a quarter at most. A notification that
waits for the file is sent within a minute of its arrival.
"""


def until_looked_again(waited: float, dice: float) -> float:
    """Seconds until a file is looked for again that was missing for ``waited`` s: soon while somebody may be at it."""
    return min(max(waited / 2, SOONEST_LOOK), LATEST_LOOK) * (1 + dice / 4)


BUDGET_SHARE = 0.2
"""Of a retry, that each call earns."""

BUDGET_START, BUDGET_MOST = 2.0, 10.0


class RetryBudget:
    """How many calls may be repeated: a share of all calls, so that retries never become the load.

    A token bucket as in Finagle's retry budgets.
    """

    def __init__(self) -> None:
        self._balance = BUDGET_START

    def called(self) -> None:
        self._balance = min(BUDGET_MOST, self._balance + BUDGET_SHARE)

    def spend(self) -> bool:
        """Whether one retry may be made."""
        if self._balance < 1:
            return False
        self._balance -= 1
        return True


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait by a ``Retry-After`` (RFC 9110, section 10.2.3): seconds, or a date. None for any other
    value, and for the past.
    """
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:10])
    try:
        moment = parsedate_to_datetime(value)
        # HTTP's dates are UTC also where they do not say so (RFC 9110, section 5.6.7).
        wish = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return wish if wish > 0 else None
