"""What an operator does about one destination: look at it, try what waits now, switch it off and on; and circuits."""

import json
from collections.abc import Callable
from typing import Any

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import fleet
from tests.patience import patience

Make = Callable[..., dict[str, Any]]


async def test_what_waits_for_hours_is_shown_and_tried_now(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, about: Make, hook: Make
) -> None:
    owner = about(0)["organization_id"]
    for name in ("noc", "other"):
        sandbox.inbox.behaviours[name].script.append(503)
    async with fleet(environment | {"NS_RETRY_SCHEDULE": "5h 5h"}) as [worker], patience(120):
        await broker.hear()
        await broker.publish([about(0, destinations=[hook("noc"), hook("other")])])
        await worker.says("notification.failed", times=2)
        shown = await command(environment, "destinations", "show", owner, "noc", "--json")
        state = json.loads(shown.out)
        assert (shown.code, state["waiting"]) == (1, {"failed": 1})
        assert "503" in state["last_error"]
        dry = await command(environment, "retry", "--destination", "noc", "--reason", "failed", "--dry-run")
        assert dry.out == "to be tried now: 1 of 2 waiting messages\n"
        tried = await command(environment, "retry", "--destination", "noc", "--yes", "--by", "anna")
        assert (tried.code, tried.out) == (0, "tried now: 1 of 2 waiting messages\n")
        await worker.says("notification.delivered", destination_id="noc", attempt=2)
        again = await command(environment, "retry", "--destination", "noc", "--yes")
        assert (again.code, again.out) == (1, "none of 1 waiting messages matches\n")
        changes = [it for it in await broker.take("heard", 4) if it.routing_key == "operator.retried"]
    [data] = [json.loads(it.body)["data"] for it in changes]
    assert (data["by"], data["destination_id"], data["count"]) == ("anna", "noc", 1)


async def test_a_destination_is_switched_off_and_on(
    environment: dict[str, str], broker: Broker, about: Make, hook: Make
) -> None:
    owner = about(0)["organization_id"]
    async with fleet(environment) as [worker], patience(120):
        off = await command(environment, "destinations", "disable", owner, "noc", "--for", "2h", "--yes")
        assert off.out.startswith(f"noc of {owner}: off until 2")
        await broker.publish([about(0, destinations=[hook("noc"), hook("other")])])
        await worker.says("notification.suppressed", destination_id="noc", reason="destination_disabled")
        [listed] = json.loads((await command(environment, "destinations", "list", "--json")).out)
        assert (listed["destination_id"], listed["off"]) == ("noc", "operator")
        on = await command(environment, "destinations", "enable", "--organization", owner, "--destination", "noc")
        assert (on.code, on.out) == (0, f"noc of {owner}: enabled\n")
        await broker.publish([about(0, destinations=[hook("noc")])])
        await worker.says("notification.delivered", destination_id="noc")


async def test_a_host_and_an_api_are_held_open_and_released(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, about: Make, hook: Make
) -> None:
    host = sandbox.inbox.webhook_url("noc").split("/")[2]
    async with fleet(environment) as [worker], patience(120):
        for circuit in (f"host/{host}", "api/aaa"):
            forced = await command(environment, "circuits", "open", circuit, "--for", "1h", "--yes", "--by", "anna")
            assert forced.out.startswith(f"{circuit}: forced open until 2")
        listed = json.loads((await command(environment, "circuits", "--json")).out)
        assert [it["subject"] for it in listed["forced"]] == ["api/aaa", f"host/*/{host}"]
        await broker.publish([about(0, destinations=[hook("noc")])])
        await worker.says("unit.deferred", reason="context_unavailable")
        assert (await command(environment, "circuits", "reset", "api/aaa", "--yes")).code == 0
        await worker.says("notification.deferred", reason="host_out")
        assert (await command(environment, "circuits", "reset", f"host/{host}", "--yes")).code == 0
        await command(environment, "retry", "--reason", "host_out", "--yes")
        await sandbox.inbox.accepts(1)
        assert (await command(environment, "circuits")).out == "no circuit is open or forced\n"
    unknown = await command(environment, "circuits", "open", "api/nope", "--for", "1h", "--yes")
    assert (unknown.code, "api/aaa" in unknown.err) == (2, True)
