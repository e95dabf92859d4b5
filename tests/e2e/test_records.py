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
    assert (state["organization_id"], state["claimed"], state["waiting"]) == (owner, 0, 2)
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


async def test_of_one_recipient_the_story_and_its_part_of_a_dead_unit_are_erased(
    environment: dict[str, str], broker: Broker, unit: Make, mail: Make
) -> None:
    async def explained(name: str) -> int:
        return len(json.loads((await command(environment, "explain", name, "--json")).out)["events"])

    mails, no_subject = {"channels": ["email"], "destinations": [mail("noc"), mail("ops")]}, {"incident_id": None}
    sent, dead = unit(**mails), unit(**mails, **no_subject, intel_request_id=None)
    owner = sent["organization_id"]
    async with fleet(environment) as (worker,), patience(60):
        await broker.publish([sent, dead])
        ids = {
            it: (await worker.says("notification.delivered", destination_id=it))["notification_id"]
            for it in ("noc", "ops")
        }
        await broker.holds("dead", 1)
        since = json.loads((await command(environment, "audit", "--since", "1h", "--json")).out)
        assert (since["delivered"], since["dead"]) == (1, 1)
    before = await explained(ids["ops"])
    words = ("erase", "--organization", owner, "--recipient", "NOC@example.com", "--yes", "--json")
    ended = await command(environment, *words)
    assert (ended.code, json.loads(ended.out)["records"]["story"], json.loads(ended.out)["dead_letters"]) == (0, 1, 1)
    assert await explained(ids["ops"]) == before
    [letter] = await broker.dead(1)
    assert [it["destination_id"] for it in json.loads(letter.body)["destinations"]] == ["ops"]
    assert b"noc@" not in letter.body
    assert (await command(environment, *words)).code == 1
