"""What a destination was not sent while it was off is sent when an operator asks for it: composed anew, each once."""

import json
from collections.abc import Callable
from typing import Any

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import fleet
from tests.e2e.reading import posts_at
from tests.patience import patience

Make = Callable[..., dict[str, Any]]
NONE = {"matched": 0, "would_send": 0, "skipped_delivered": 0, "skipped_unwanted": 0, "not_kept": 0}


async def test_what_was_withheld_is_counted_composed_anew_and_sent_once(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, about: Make, hook: Make
) -> None:
    async def enable(*words: str) -> tuple[int, dict[str, Any]]:
        ended = await command(environment, "destinations", "enable", *noc, "--json", "--by", "anna", *words)
        return ended.code, json.loads(ended.out)

    units = [about(0, destinations=[hook("noc"), hook("other")]) for _ in range(3)]
    owner = units[0]["organization_id"]
    noc = ("--organization", owner, "--destination", "noc")
    async with fleet(environment) as [worker], patience(120):
        await broker.hear()
        await command(environment, "destinations", "disable", owner, "noc", "--for", "2h", "--yes")
        await broker.publish(units)
        await worker.says("notification.suppressed", times=3, destination_id="noc", reason="destination_disabled")
        await worker.says("unit.done", times=3)
        counts = NONE | {"matched": 3, "would_send": 3}
        assert await enable("--dry-run") == (0, {"enabled": False} | counts)
        refused = await command(environment, "destinations", "enable", *noc, "--resend")
        assert (refused.code, "--yes" in refused.err) == (2, True)
        assert await enable("--resend", "--yes") == (0, {"enabled": True} | counts)
        await sandbox.inbox.accepts(6)
        assert await enable("--resend", "--yes") == (1, {"enabled": False} | NONE)
        await worker.says("notification.delivered", times=3, destination_id="noc")
        audited = await command(environment, "audit", "--since", "1h", "--json")
        assert (audited.code, json.loads(audited.out)["delivered"]) == (0, 3)
        heard = [it for it in await broker.take("heard", 3 * 3 + 3) if it.routing_key.startswith("operator.")]
    changes = [json.loads(it.body)["data"] for it in heard]
    assert [it["change"] for it in changes] == ["disabled", "enabled", "resent"]
    assert (changes[-1]["by"], changes[-1]["count"]) == ("anna", 3)
    assert len({it.notification_id for it in posts_at(sandbox.inbox, "noc")}) == 3
    assert sandbox.inbox.duplicates == 0


async def test_what_came_for_a_destination_that_was_gone_is_sent_when_it_is_back(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, about: Make, hook: Make
) -> None:
    sandbox.inbox.behaviours["noc"].script.append(410)
    gone, later = (about(0, destinations=[hook("noc")]) for _ in range(2))
    noc = ("--organization", gone["organization_id"], "--destination", "noc")
    async with fleet(environment) as [worker], patience(120):
        await broker.publish([gone])
        await worker.says("notification.dead", reason="gone")
        await broker.publish([later])
        await worker.says("notification.suppressed", reason="destination_disabled")
        ended = await command(environment, "destinations", "enable", *noc, "--resend", "--yes")
        assert ended.out.splitlines()[1:] == ["sent: 1 of 1 that were withheld"]
        await sandbox.inbox.accepts(1)
        assert (await command(environment, "dead", "replay")).out.startswith("moved back: 1 of 1")
        await sandbox.inbox.accepts(2)
