"""`snapshot` on real services: all parts are there, and no secret is."""

import json

from notification_sender.app.snapshot import PARTS
from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command


async def test_a_snapshot_has_every_part_and_no_secret(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker
) -> None:
    await command(environment, "topology")
    await command(environment, "pause", "--channel", "email", "--for", "1h", "--yes")
    dead = {"x-reason": "rejected", "x-detail": "noc@example.com: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    await broker.publish([b"{}"], lane="dead", headers=dead)
    ended = await command(environment | {"NS_AAA_CLIENT_SECRET": "hunter2-hunter2"}, "snapshot")
    taken = json.loads(ended.out)
    assert taken.keys() == {"at", "version", "host", "settings", *PARTS}
    assert taken["why"]["limit"] == "unknown"
    assert [(it["kind"], it["subject"]) for it in taken["overrides"]] == [("pause", "channel/email")]
    assert [(it["reason"], it["count"]) for it in taken["dead"]] == [("rejected", 1)]
    assert taken["settings"]["NS_TOPOLOGY_PREFIX"] == environment["NS_TOPOLOGY_PREFIX"]
    for secret in ("hunter2", "whsec_", "noc@example.com"):
        assert secret not in ended.out
    assert len(sandbox.inbox.webhooks) == 0
