"""Three hundred dead letters of which a hundred were delivered since: counted, replayed once, and none is left."""

import json
from collections.abc import Callable
from typing import Any

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import fleet
from tests.patience import patience

Make = Callable[..., dict[str, Any]]
NUMBER, DELIVERED = 300, 100


async def test_of_300_letters_the_100_delivered_ones_are_named_200_are_sent_and_a_second_replay_finds_none(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    async def replay(*words: str) -> tuple[int, dict[str, int]]:
        ended = await command(hasty, "dead", "replay", "--json", *words)
        return ended.code, json.loads(ended.out)

    sandbox.inbox.behaviours["noc"].script.extend([400] * NUMBER)
    counts = {"matched": NUMBER, "would_send": NUMBER - DELIVERED, "skipped_delivered": DELIVERED}
    none = dict.fromkeys((*counts, "skipped_unwanted"), 0)
    async with fleet(hasty), patience(90):
        await broker.publish([unit(destinations=[hook("noc")]) for _ in range(NUMBER)])
        await broker.holds("dead", NUMBER)
        copies = await broker.take("dead", DELIVERED)
        for copy in copies:
            await broker.publish([copy.body], lane="notifications", headers=copy.headers)
            await broker.publish([copy.body], lane="dead", headers=copy.headers)
        await sandbox.inbox.accepts(DELIVERED)
        await broker.holds("dead", NUMBER)
        assert await replay("--dry-run") == (0, none | counts)
        said = await command(hasty, "dead", "replay", "--dry-run")
        assert f"notifications delivered before: {DELIVERED} by webhook" in said.out
        assert await replay("--rate", "1000/second") == (0, none | counts)
        await sandbox.inbox.accepts(NUMBER)
        await broker.holds("dead", 0)
        assert await replay() == (1, none)
    assert sandbox.inbox.duplicates == 0
