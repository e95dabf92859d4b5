"""The operators' commands for rates: show what is left of one, set another one for a while, and reset it."""

import asyncio
from dataclasses import dataclass

from notification_sender.adapters.rabbitmq.waiting import Step, Waiting, no_step
from notification_sender.app.admin import connected_store
from notification_sender.app.backends import Store
from notification_sender.app.changes import Change, announce
from notification_sender.app.pauses import KNOWN_AFTER
from notification_sender.app.waiting import About, bring_back
from notification_sender.channels.registry import channel_types
from notification_sender.model.override import Kind, Override
from notification_sender.policy.limits import SECOND, Limit, Standing, standing
from notification_sender.policy.rates import rate_of
from notification_sender.settings import Settings

RATE: Kind = "rate"
THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class Throttle:
    """The limit of one organization and channel, now."""

    organization_id: str
    channel: str
    configured: str
    """The rate of the settings; ``off``: no limit."""
    override: Override | None
    standing: Standing | None
    """None: there is no limit."""

    @property
    def rate(self) -> str:
        """The rate in force."""
        return self.configured if self.override is None else self.override.value


@dataclass(frozen=True, slots=True)
class ThrottleResult:
    """The limit after a change."""

    throttle: Throttle
    moved: int
    """Messages that waited for their slot, and are in their queues now."""
    unannounced: str
    changed: bool = True


async def throttles(settings: Settings, organization_id: str, channel: str | None = None) -> list[Throttle]:
    """The limits of an organization, by channel; or that of one channel.

    Raises:
        ValueError: there is no such channel.
        Unready: Redis is away.
    """
    names = channels(channel)
    async with connected_store(settings) as opened:
        return [await _throttle(settings, opened, organization_id, it) for it in names]


async def set_throttle(
    settings: Settings,
    organization_id: str,
    channel: str,
    rate: str,
    *,
    seconds: float,
    by: str,
    note: str,
    step: Step = no_step,
) -> ThrottleResult:
    """Use another rate for ``seconds``. It begins with a full burst.

    Raises:
        ValueError: there is no such channel.
        Unready: Redis is away; or RabbitMQ, then the rate is set, and what waits comes when it would have come.
    """
    subject = _subject(organization_id, *channels(channel))
    async with connected_store(settings) as opened:
        made = await opened.overrides.put(RATE, subject, rate, seconds=seconds, by=by, note=note)
    change = Change(
        change="throttle_set",
        by=by,
        subject=f"throttle/{subject}",
        until=made.until,
        organization_id=organization_id,
        channel=channel,
        value=rate,
        note=note or None,
    )
    return await _applied(settings, organization_id, channel, change, step)


async def reset_throttle(
    settings: Settings, organization_id: str, channel: str, *, by: str, step: Step = no_step
) -> ThrottleResult:
    """Use the rate of the settings again. Raises as ``set_throttle``."""
    subject = _subject(organization_id, *channels(channel))
    async with connected_store(settings) as opened:
        ended = await opened.overrides.remove(RATE, subject)
        if ended is None:
            return ThrottleResult(await _throttle(settings, opened, organization_id, channel), 0, "", changed=False)
    change = Change(
        change="throttle_reset",
        by=by,
        subject=f"throttle/{subject}",
        organization_id=organization_id,
        channel=channel,
    )
    return await _applied(settings, organization_id, channel, change, step)


async def _applied(
    settings: Settings, organization_id: str, channel: str, change: Change, step: Step
) -> ThrottleResult:
    """Let what waits for its slot ask anew. Those slots of the configured rate are forgotten: they will not be used."""
    unannounced = await announce(settings, change)
    await asyncio.sleep(KNOWN_AFTER)
    async with connected_store(settings) as opened:
        await opened.limits.forget(organization_id, channel)
        now = await _throttle(settings, opened, organization_id, channel)

    def is_ours(waiting: Waiting) -> bool:
        about = About.of(waiting.body) if waiting.because == THROTTLED else None
        return about is not None and (about.organization_id, about.channel) == (organization_id, channel)

    again = f"retry --organization {organization_id} --reason {THROTTLED}"
    moved = await bring_back(settings, is_ours, done="the rate is changed", again=again, step=step)
    return ThrottleResult(now, moved, unannounced)


async def _throttle(settings: Settings, opened: Store, organization_id: str, channel: str) -> Throttle:
    subject = _subject(organization_id, channel)
    active = await opened.overrides.active()
    override = next((it for it in active if it.kind == RATE and it.subject == subject), None)
    own: Limit | None = getattr(settings, f"throttle_{channel}")
    limit = own if override is None else rate_of(override)
    left = None
    if limit is not None:
        now = round(await opened.overrides.now() * SECOND)
        left = standing(limit, await opened.limits.arrivals(organization_id, limit.key), now)
    return Throttle(organization_id, channel, own.text if own else "off", override, left)


def channels(named: str | None) -> list[str]:
    """The channels that there are, or the named one.

    Raises:
        ValueError: there is no such channel.
    """
    known = list(channel_types())
    if named is not None and named not in known:
        raise ValueError(f"no channel is called {named!r}, only {', '.join(known)}")
    return known if named is None else [named]


def _subject(organization_id: str, channel: str) -> str:
    return f"{organization_id}/{channel}"
