"""`orgs`, `cache`, `audit` without a batch and `erase` against real services, after a worker has worked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis.asyncio

from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import fleet
from tests.patience import patience

Make = Callable[..., dict[str, Any]]


async def test_what_an_organization_has_is_shown_audited_and_erased(
    environment: dict[str, str], broker: Broker, unit: Make, hook: Make, tmp_path: Path
) -> None:
    async def typed(*words: str) -> tuple[int, Any]:
        ended = await command(environment, *words, "--json")
        return ended.code, json.loads(ended.out)

    made = [unit(destinations=[hook("noc")]) for _ in range(3)]
    owner = made[0]["organization_id"]
    throttled = environment | {"NS_THROTTLE_WEBHOOK": "2/hour burst 1"}
    async with fleet(throttled) as (worker,), patience(60):
        await broker.publish(made)
        await worker.says("unit.done", times=3)
    [state] = (await typed("orgs"))[1]
    assert (state["organization_id"], state["in_hand"], state["waiting"]) == (owner, 0, 2)
    assert (state["limits"], [*state["booked_until"]]) == ({"webhook": 2}, ["webhook"])
    code, facts = await typed("cache", "stats")
    assert (code, sum(it["fresh"] for it in facts) > 0) == (0, True)
    assert (await typed("audit", "--since", "1h"))[1]["waiting"] == 2
    (file := tmp_path / "units.json").write_text(json.dumps([*made, made[0] | {"work_unit_id": "wu-never"}]))
    code, audited = await typed("audit", "--expect", str(file))
    assert (code, audited["delivered"], audited["waiting"], audited["missing_ids"]) == (1, 1, 2, ["wu-never"])
    code, purged = await typed("cache", "purge", owner, "--yes")
    assert (code, purged["purged"] > 0) == (0, True)
    assert (await typed("cache", "stats", "--organization", owner))[1] == []
    code, erased = await typed("erase", "--organization", owner, "--yes")
    assert (code, erased["records"]["unit"]) == (0, 3)
    async with redis.asyncio.Redis.from_url(environment["NS_REDIS_URL"]) as store:
        assert await store.keys(f"{environment['NS_TOPOLOGY_PREFIX']}:1:{{{owner}}}*") == []
    assert (await typed("audit", "--since", "1h"))[0] == 1
