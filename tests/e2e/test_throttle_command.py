"""The rate of an organization is shown, replaced for a while, and reset."""

import json
from collections.abc import Callable
from typing import Any

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import fleet
from tests.patience import patience

Make = Callable[..., dict[str, Any]]
UNITS = 6


async def test_another_rate_holds_at_once_and_after_its_reset_all_that_waited_comes(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, about: Make, hook: Make
) -> None:
    owner = about(0)["organization_id"]
    slow = ("throttle", "set", owner, "webhook", "1/hour burst 2", "--for", "2h", "--yes", "--by", "anna")
    async with fleet(environment), patience(120):
        made = json.loads((await command(environment, *slow, "--json")).out)
        assert (made["rate"], made["configured"], made["tokens"]) == ("1/hour burst 2", "off", 2)
        await broker.publish([about(0, destinations=[hook("noc")]) for _ in range(UNITS)])
        await sandbox.inbox.accepts(2)
        await broker.drained("units")
        shown = await command(environment, "throttle", "show", owner, "webhook")
        assert shown.out.startswith(f"{owner}  webhook  1/hour burst 2 (until 2")
        assert ", by anna; then off)  tokens: 0, next: in " in shown.out
        assert len(sandbox.inbox.accepted) == 2
        reset = await command(environment, "throttle", "reset", owner, "webhook", "--yes")
        assert reset.out.splitlines() == [
            f"{owner}  webhook  off",
            f"moved to their queues: {UNITS - 2}",
        ]
        await sandbox.inbox.accepts(UNITS)
        again = await command(environment, "throttle", "reset", owner, "webhook", "--yes")
        assert (again.code, again.out.splitlines()[0]) == (1, "no other rate was set")


async def test_a_rate_or_a_channel_that_does_not_exist_is_refused(environment: dict[str, str]) -> None:
    rate = await command(environment, "throttle", "set", "org-1", "webhook", "fast", "--for", "1h", "--yes")
    assert (rate.code, "600/minute burst 60" in rate.err) == (2, True)
    channel = await command(environment, "throttle", "show", "org-1", "pigeon")
    assert (channel.code, "no channel is called 'pigeon'" in channel.err) == (2, True)
