"""The operators' commands for what Redis keeps: the cache, the state of organizations, and how to erase records."""

from dataclasses import dataclass

from notification_sender.adapters.redis.records import CacheUse, OrganizationState, RedisRecords
from notification_sender.app.admin import connected_store
from notification_sender.app.dead_letters import LetterFilter
from notification_sender.app.dead_replay import ReplayResult, drop
from notification_sender.model.override import owner_of
from notification_sender.policy.fleet_view import Fleet
from notification_sender.policy.rates import rates
from notification_sender.settings import Settings

DEAD = "dead "
"""Begins the reasons of what waits for nothing any more."""


@dataclass(frozen=True, slots=True)
class Erased:
    """How many records were erased, by kind, and how many dead letters."""

    records: dict[str, int]
    dead_letters: int


async def cache_use(settings: Settings, organization_id: str | None) -> list[CacheUse]:
    """The use of the shared cache by kind of fact; None: of all organizations.

    Raises:
        Unready: Redis is away.
    """
    async with connected_store(settings) as opened:
        records = RedisRecords(redis=opened.redis, prefix=settings.keys_prefix)
        return await records.cached(organization_id, await records.now())


async def purge(settings: Settings, organization_id: str) -> int:
    """Delete the cached facts of an organization; returns how many.

    Raises:
        Unready: Redis is away; some facts may be deleted.
    """
    async with connected_store(settings) as opened:
        return await RedisRecords(redis=opened.redis, prefix=settings.keys_prefix).purge(organization_id)


async def organizations(settings: Settings, organization_id: str | None) -> list[OrganizationState]:
    """What each organization has claimed, waiting and booked, what it waits for, and what operators have set for it;
    the one with the most waiting first.

    Raises:
        Unready: Redis is away.
    """
    async with connected_store(settings) as opened:
        records = RedisRecords(redis=opened.redis, prefix=settings.keys_prefix)
        view = await opened.fleet_view()
        found = await records.organizations(organization_id, await records.now(), rates(view.overrides))
    states = {it.organization_id: it for it in found}

    def state(owner: str) -> OrganizationState | None:
        wanted = owner and organization_id in {None, owner}
        return states.setdefault(owner, OrganizationState(owner)) if wanted else None

    for held in Fleet.of(view).held:
        if not held.reason.startswith(DEAD) and (one := state(held.organization)):
            one.reasons[held.reason] = round(one.reasons.get(held.reason, 0.0) + held.waiting, 1)
    for it in view.overrides:
        if one := state(owner_of(it)):
            one.overrides.append(it)
    return sorted(states.values(), key=lambda it: (-it.waiting, -sum(it.reasons.values()), it.organization_id))


async def erase(settings: Settings, organization_id: str, recipient: str | None) -> Erased:
    """Erase the records of an organization, or of one recipient (hash) of it, and their dead letters.

    Raises:
        Unready: RabbitMQ or Redis is away; some records may be erased, and a repetition erases the rest.
    """
    letters = ReplayResult()
    # The letters first: while Redis still has their records, nothing that is erased can be sent twice.
    wanted = LetterFilter(organization_id=organization_id, recipient=recipient)
    await drop(settings, wanted, letters, most=None, step=lambda: None)
    async with connected_store(settings) as opened:
        records = RedisRecords(redis=opened.redis, prefix=settings.keys_prefix)
        if recipient is None:
            return Erased(await records.erase(organization_id), letters.dropped)
        return Erased(await records.erase_recipient(organization_id, recipient, letters.ids), letters.dropped)
