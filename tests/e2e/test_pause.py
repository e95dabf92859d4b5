"""One organization is paused for an hour under load: nothing of it is sent, and nothing of others waits."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import jsonschema
import orjson

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import fleet
from tests.e2e.test_events import SCHEMA as ATTEMPT_SCHEMA
from tests.patience import patience
from tests.services.program import free_port
from tests.telemetry.test_change_event import SCHEMA

Make = Callable[..., dict[str, Any]]
UNITS = 60


async def test_a_paused_organization_sends_nothing_holds_up_nobody_and_all_of_it_comes_after_resume(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, about: Make, hook: Make
) -> None:
    owners = [about(number)["organization_id"] for number in (0, 1)]
    assert owners[0] != owners[1]
    one = ("--organization", owners[0])
    async with fleet(environment, 2), patience(120):
        await broker.hear()
        paused = await command(environment, "pause", *one, "--for", "1h", "--yes", "--by", "anna", "--note", "INC-1")
        assert (paused.code, paused.err) == (0, "")
        units = [about(number % 2, destinations=[hook(f"noc-{number % 2}")]) for number in range(2 * UNITS)]
        await broker.publish(units)
        await sandbox.inbox.accepts(UNITS)
        assert {it.destination_id for it in sandbox.inbox.webhooks} == {"noc-1"}
        listed = json.loads((await command(environment, "pause", "--list", "--json")).out)
        assert [(it["subject"], it["by"], it["note"]) for it in listed] == [
            (f"organization/{owners[0]}", "anna", "INC-1")
        ]
        await broker.drained("units")
        [held] = json.loads((await command(environment, "orgs", *one, "--json")).out)
        assert [(it["kind"], it["by"]) for it in held["overrides"]] == [("pause", "anna")]
        status = json.loads((await command(environment, "status", "--json")).out)
        assert [it["subject"] for it in status["overrides"]] == [f"organization/{owners[0]}"]
        resumed = json.loads((await command(environment, "resume", *one, "--yes", "--json")).out)
        assert resumed["moved"] == UNITS
        await sandbox.inbox.accepts(2 * UNITS)
        heard = await broker.take("heard", 2 * UNITS + 2)
    events = [orjson.loads(it.body) for it in heard]
    changes = [it["data"] for it in events if it["type"].startswith("notification-sender.operator.")]
    assert [it["change"] for it in changes] == ["paused", "resumed"]
    assert changes[0]["by"] == "anna"
    for data in changes:
        jsonschema.validate(data, SCHEMA)
    attempts = [it["data"] for it in events if it["data"] not in changes]
    for data in attempts:
        jsonschema.validate(data, ATTEMPT_SCHEMA)
    assert Counter((it["organization_id"], it["outcome"], it["attempt"]) for it in attempts) == {
        (owner, "delivered", 1): UNITS for owner in owners
    }


async def test_a_pause_that_is_not_there_ends_with_1(environment: dict[str, str]) -> None:
    async with fleet(environment):
        ended = await command(environment, "resume", "--organization", "org-none", "--yes")
    assert ended.code == 1
    assert ended.out.startswith("was not paused: organization org-none;")


async def test_a_pause_needs_no_broker_and_a_resume_says_what_is_left_to_do(environment: dict[str, str]) -> None:
    alone = environment | {"NS_AMQP_URL": f"amqp://guest:guest@127.0.0.1:{free_port()}/"}
    one = ("--channel", "email", "--yes")
    paused = await command(alone, "pause", *one, "--for", "1h")
    assert (paused.code, "its event was not published" in paused.err) == (0, True)
    resumed = await command(alone, "resume", *one)
    assert (resumed.code, "the pause has ended, but what waits was not moved" in resumed.err) == (1, True)
    assert (await command(alone, "pause", "--list")).out == "nothing is paused\n"
