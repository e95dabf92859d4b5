"""What cannot be read is a dead letter at its first delivery, unchanged, and in nobody's way."""

import json
from collections.abc import Callable
from typing import Any

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import fleet
from tests.faults.rows import row
from tests.model.test_unit import BREAKS_A_RULE, MALFORMED
from tests.patience import patience

Make = Callable[..., dict[str, Any]]


@row(75, "not JSON, not UTF-8, a byte order mark")
@row(76, "breaks the schema")
@row(77, "nesting, digits, NaN, surrogates")
async def test_bad_messages_are_dead_letters_and_the_good_ones_among_them_are_delivered(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make
) -> None:
    destination = {"destination_id": "d", "channel": "webhook"}
    hook = {"destination_id": "h", "channel": "webhook", "url": sandbox.inbox.webhook_url("h")}
    bad = {
        **dict.fromkeys(MALFORMED.values(), "malformed"),
        **dict.fromkeys(BREAKS_A_RULE.values(), "schema"),
        **{
            json.dumps(unit(**fields)).encode(): "schema"
            for fields in (
                {"incident_id": None, "intel_request_id": None},
                {"kind": "unheard-of"},
                {"channels": ["pigeon"]},
                {"destinations": [destination]},
                {"destinations": [{"channel": "webhook"}]},
                {"destinations": [hook | {"rate": {"per_minute": 0}}]},
                {"destinations": [destination, hook | {"channel": "sms"}, "noc", {}]},
                {"destinations": [destination | {"url": "ftp://hooks.example/x"}]},
                {"destinations": [destination | {"channel": "email", "to": "a@b.example, c@d.example"}]},
            )
        },
    }
    async with fleet(environment, 2) as workers:
        for body in bad:
            await broker.publish([body, unit(), unit()])
        async with patience(60):
            letters = await broker.dead(len(bad))
            await sandbox.inbox.accepts(2 * len(bad))
        assert [await worker.stop() for worker in workers] == [0, 0]
    assert {letter.body: letter.headers["x-reason"] for letter in letters} == bad
    assert len(letters) == len(bad)
    for letter in letters:
        assert letter.headers["x-detail"]
        assert letter.headers["x-stage"] == "decode"
        assert letter.headers["x-first-seen"]
    assert [await broker.depth(it) for it in ("units", "dead")] == [0, 0]
