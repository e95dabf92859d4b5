"""What a customer's answer to a webhook does, and whom none is sent to."""

import json
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from notification_sender.sandbox.behaviour import Answer
from notification_sender.sandbox.inbox.keys import signing_key, write_keys
from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import fleet
from tests.e2e.reading import headers, payload, posts_at, reasons
from tests.faults.rows import row
from tests.patience import patience, patient

Make = Callable[..., dict[str, Any]]
SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "webhook-intel.schema.json"
LATER: dict[str, Answer] = {
    **{f"at-{status}": status for status in (301, 302, 307, 308, 408, 425, 429, 500, 502, 503, 504, 599)},
    "dropped": "close",
    "silent": "hang",
}
NEVER = {f"at-{status}": status for status in (400, 402, 404, 405, 409, 413, 422, 451)}


async def test_what_is_sent_fits_the_published_schema_and_verifies(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker
) -> None:
    units = [it | {"channels": ["webhook"]} for it in sandbox.world.work_units(20)]
    async with fleet(environment), patience(30):
        await broker.publish(units)
        await sandbox.inbox.accepts(20)
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    for post in sandbox.inbox.webhooks:
        validator.validate(payload(post)["data"])
    assert sandbox.inbox.unverified == []


@row(63, "301, 302, 307 and 308 to somewhere else")
async def test_every_answer_means_what_the_specification_of_webhooks_says(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    inbox = sandbox.inbox
    for name, answer in LATER.items():
        inbox.behaviours[name].script.append(answer)
        inbox.behaviours[name].headers = {"location": inbox.webhook_url("trap")}
    for name, answer in {**NEVER, "at-201": 201, "at-204": 204}.items():
        inbox.behaviours[name].answer = answer
    names = [*LATER, *NEVER, "at-201", "at-204"]
    units = [unit(destinations=[hook(name, secret="mine")]) for name in names]
    write_keys(Path(hasty["NS_SECRETS_DIR"]) / units[0]["organization_id"], ["mine"])
    inbox.keys = {name: [signing_key("mine")] for name in names}
    async with fleet(hasty), patience(40):
        await broker.publish(units)
        await inbox.accepts(len(LATER) + 2)
        letters = await broker.dead(len(NEVER))
    answered = {name: [post.answered for post in posts_at(inbox, name)] for name in [*names, "trap"]}
    assert answered == {
        **{name: [answer, 200] for name, answer in LATER.items()},
        **{name: [answer] for name, answer in NEVER.items()},
        "at-201": [201],
        "at-204": [204],
        "trap": [],
    }
    assert reasons(letters) == dict.fromkeys(NEVER, "rejected")
    for name in LATER:
        first, second = posts_at(inbox, name)
        assert (first.notification_id, first.body) == (second.notification_id, second.body)
        for post in (first, second):
            # Of this attempt: one that hangs for three seconds has a later one.
            assert abs(post.arrived - int(headers(post)["webhook-timestamp"])) < patient(2)
    assert inbox.unverified == []


async def test_a_wish_to_wait_is_granted(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    for name, status in {"busy": 429, "down": 503}.items():
        sandbox.inbox.behaviours[name].script.append(status)
        sandbox.inbox.behaviours[name].headers = {"retry-after": "3"}
    async with fleet(hasty), patience(30):
        await broker.publish([unit(destinations=[hook("busy"), hook("down")])])
        await sandbox.inbox.accepts(2)
    for name in ("busy", "down"):
        refused, accepted = posts_at(sandbox.inbox, name)
        assert 2.9 <= accepted.arrived - refused.arrived < patient(6)


@row(64, "410")
async def test_who_is_gone_is_left_alone_at_this_address(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    inbox, made = sandbox.inbox, unit()
    other = next(it for it in sandbox.world.incidents.values() if it["organization_id"] != made["organization_id"])
    elsewhere = {name: other[name] for name in ("organization_id", "incident_id")} | {"intel_request_id": None}
    gone, moved = hook("gone"), hook("gone", url=inbox.webhook_url("moved"))
    inbox.behaviours["gone"].script.append(410)
    async with fleet(environment) as (worker,), patience(30):
        await broker.publish([unit(destinations=[gone])])
        letters = await broker.dead(1)
        await broker.publish([unit(destinations=[gone]), unit(destinations=[moved])])
        await broker.publish([unit(destinations=[gone], **elsewhere)])
        await worker.says("notification.suppressed", reason="destination_disabled")
        await inbox.accepts(2)
        await worker.says("unit.done", times=4)
        [listed] = json.loads((await command(environment, "destinations", "list", "--json")).out)
        assert (listed["organization_id"], listed["destination_id"]) == (made["organization_id"], "gone")
        assert listed["off"] == "gone"
        until = datetime.fromisoformat(listed["until"]).timestamp()
        assert until == pytest.approx(time.time() + 7 * 86_400, abs=60)
        enable = ("destinations", "enable", "--destination", "gone", "--organization")
        assert (await command(environment, *enable, made["organization_id"])).code == 0
        await broker.publish([unit(destinations=[gone])])
        await inbox.accepts(3)
        await worker.says("destination.recovered", destination_id="gone")
        assert json.loads((await command(environment, "destinations", "list", "--json")).out) == []
    assert reasons(letters) == {"gone": "gone"}
    assert [post.answered for post in posts_at(inbox, "gone")] == [410, 200, 200]
    assert payload(posts_at(inbox, "gone")[1])["data"]["organization_id"] == other["organization_id"]
    assert len(posts_at(inbox, "moved")) == 1


async def test_what_is_not_allowed_is_never_dialled(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    inbox = sandbox.inbox
    port = inbox.webhook_url("x").split(":")[2].partition("/")[0]
    urls = {
        "loopback": inbox.webhook_url("loopback"),
        "by-name": f"http://localhost:{port}/hooks/by-name",
        "mapped": f"http://[::ffff:127.0.0.1]:{port}/hooks/mapped",
        "private": "https://10.1.2.3/hooks/private",
        "metadata": "http://169.254.169.254/latest",
        "public-without-tls": "http://8.8.8.8/hooks/public",
    }
    everything = [hook(name, url=url) for name, url in urls.items()]
    only = {"NS_ALLOWED_CIDRS": "192.168.7.0/24"}
    async with fleet(environment | only), patience(30):
        await broker.publish([unit(destinations=everything)])
        letters = await broker.dead(len(urls))
    assert reasons(letters) == dict.fromkeys(urls, "forbidden_address")
    assert inbox.webhooks == []
