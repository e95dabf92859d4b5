"""Audits: of a batch, of a time, and of the work units that a publisher expects."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from notification_sender.adapters.redis.records import RedisRecords
from notification_sender.app.admin import connected_store
from notification_sender.app.backends import Store
from notification_sender.model.unit import WorkUnit, identity
from notification_sender.policy.audit import Audit
from notification_sender.policy.audit import audit as count
from notification_sender.settings import Settings


async def audit(settings: Settings, batch_id: str, organization_id: str | None) -> dict[str, Audit]:
    """Audit a batch, by organization (None: every organization that has it). Empty: no unit of it was seen.

    Raises:
        Unready: Redis is away.
    """
    async with connected_store(settings) as opened:
        return await opened.audit(batch_id, organization_id)


async def audit_time(settings: Settings, since: float, until: float, organization_id: str | None) -> dict[str, Audit]:
    """Audit all units that were first claimed in this time (epoch seconds), by organization.

    Raises:
        Unready: Redis is away.
    """
    async with connected_store(settings) as opened:
        records = RedisRecords(redis=opened.redis, prefix=settings.keys_prefix)
        seen = await records.seen(organization_id, since, until)
        return {owner: await _counted(opened, owner, ids) for owner, ids in seen.items()}


async def audit_expected(
    settings: Settings, units: Sequence[WorkUnit]
) -> tuple[dict[str, Audit], Mapping[str, Sequence[str]]]:
    """Audit these units, by organization; and the ids of those that no worker has seen, or whose record has expired.

    Raises:
        Unready: Redis is away.
    """
    expected: dict[str, dict[str, str]] = defaultdict(dict)
    for unit in units:
        expected[unit.organization_id][identity(unit)] = unit.work_unit_id
    audits, missing = {}, {}
    async with connected_store(settings) as opened:
        records = RedisRecords(redis=opened.redis, prefix=settings.keys_prefix)
        for owner, ids in sorted(expected.items()):
            there = await records.existing(owner, list(ids))
            audits[owner] = await _counted(opened, owner, there, size=len(ids))
            missing[owner] = [ids[it] for it in ids if it not in there]
    return audits, missing


async def _counted(opened: Store, organization_id: str, ids: Sequence[str], size: int | None = None) -> Audit:
    outcomes = await opened.ledger.outcomes(organization_id, [f"{{{organization_id}}}:unit:{it}" for it in ids])
    return count(len(ids) if size is None else size, outcomes)
