"""`canary` on real services: it is delivered to its sink alone, and each step has its time."""

import json
from collections.abc import Callable
from typing import Any

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.command import command
from tests.e2e.fleet import fleet
from tests.patience import option, patience


async def test_a_canary_is_delivered_to_its_sink_alone_and_each_step_has_its_time(
    sandbox: Sandbox, environment: dict[str, str], unit: Callable[..., dict[str, Any]]
) -> None:
    made = unit()
    options = ("--organization", made["organization_id"], "--incident", made["incident_id"])
    sink = ("--url", sandbox.inbox.webhook_url("canary"), "--within", option(30), "--json")
    async with fleet(environment), patience(60):
        ended = await command(environment, "canary", *options, *sink)
    assert ended.code == 0, ended.out + ended.err
    told = json.loads(ended.out)
    assert told["end"] == "delivered"
    assert [*told["steps"]] == ["queue", "compose", "send"]
    assert len(sandbox.inbox.webhooks) == 1
