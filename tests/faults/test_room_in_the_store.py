"""What a recipient says when it accepts takes no room in Redis; how it came about ends before what came about."""

from typing import Any

from tests.faults.rig import Rig

WORDS = "thank-you-very-much"
TWO_DAYS, WEEK = 172_800, 604_800


async def everything(rig: Rig, key: str) -> Any:
    kind = await rig.ask("TYPE", key)
    read = {
        "hash": ("HGETALL", key),
        "list": ("LRANGE", key, "0", "-1"),
        "string": ("GET", key),
        "zset": ("ZRANGE", key, "0", "-1"),
    }[kind]
    return await rig.ask(*read)


async def test_the_words_of_an_acceptance_are_kept_nowhere_and_a_story_for_two_days(rig: Rig) -> None:
    units = rig.units(5)
    for unit in units:
        behaviour = rig.inbox.behaviours[unit["destinations"][0]["destination_id"]]
        behaviour.configure(answer=200, body=(WORDS * 50).encode())
    async with rig.workers(1) as (worker,):
        await rig.publish(units)
        await rig.account()
        figures = (await worker.get("/metrics")).text
    keys = await rig.ask("KEYS", f"{rig.prefix}:1:*")
    assert sum(key.endswith(":story") for key in keys) == 5
    for key in keys:
        if ":fact:" in key:  # of the APIs, and deflated
            continue
        assert WORDS not in str(await everything(rig, key)), key
        if ":notification:" in key:
            left = await rig.ask("TTL", key)
            assert left <= (TWO_DAYS if key.endswith(":story") else WEEK)
    assert "notification_sender_redis_max_bytes 0.0" in figures
    [used] = [it for it in figures.splitlines() if it.startswith("notification_sender_redis_used_bytes ")]
    assert float(used.split()[1]) > 100_000
