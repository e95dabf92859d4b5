"""What a dead letter holds, and what becomes of one that is moved back."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from aio_pika.abc import AbstractIncomingMessage

from notification_sender.sandbox.platform.endpoints import Endpoint
from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import fleet
from tests.e2e.reading import posts_at, reasons
from tests.patience import option, patience

Make = Callable[..., dict[str, Any]]


def why(letter: AbstractIncomingMessage) -> tuple[object, object]:
    """Its reason and its stage; the other two headers are there."""
    assert letter.headers["x-detail"]
    assert datetime.fromisoformat(str(letter.headers["x-first-seen"])).tzinfo
    return letter.headers["x-reason"], letter.headers["x-stage"]


async def test_an_exhausted_notification_holds_its_story_and_is_tried_again_when_it_is_moved_back(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    inbox, made, destination = sandbox.inbox, unit(), hook("noc")
    inbox.behaviours["noc"].script.extend([500, 503])
    async with fleet(hasty | {"NS_RETRY_SCHEDULE": "1s"}) as (worker,), patience(30):
        await broker.publish([made | {"destinations": [destination]}])
        [letter] = await broker.dead(1)
        calls = sandbox.platform.calls.total()
        await broker.publish([letter.body], lane="notifications", headers=letter.headers)
        await inbox.accepts(1)
        await worker.says("notification.delivered")
        await broker.publish([letter.body], lane="notifications", headers=letter.headers)
        await worker.says("notification.suppressed", reason="already_delivered")
    assert why(letter) == ("exhausted", "deliver")
    dead = orjson.loads(letter.body)
    ids = ("work_unit_id", "organization_id", "kind", "event")
    assert {name: dead[name] for name in ids} == {name: made[name] for name in ids}
    assert dead["destination"].items() >= destination.items()
    assert dead["attempt"] == 2
    assert [(it["attempt"], it["sent"]) for it in dead["tries"]] == [(1, "answered"), (2, "answered")]
    assert "503" in str(letter.headers["x-detail"])
    posts = posts_at(inbox, "noc")
    assert [post.answered for post in posts] == [500, 503, 200]
    assert {post.body.decode() for post in posts} == {dead["content"]["json"]}
    assert {post.notification_id for post in posts} == {dead["notification_id"]}
    assert UUID(dead["notification_id"]).version == 5
    assert sandbox.platform.calls.total() == calls


async def test_a_parked_notification_may_be_moved_back_as_well(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    sandbox.inbox.behaviours["noc"].script.append(500)
    async with fleet(hasty | {"NS_RETRY_SCHEDULE": "1h"}) as (worker,), patience(30):
        await broker.publish([unit(destinations=[hook("noc")])])
        await worker.says("notification.failed")
        [parked] = await broker.take("delay.11")
        await broker.publish([parked.body], lane="notifications", headers=parked.headers)
        await sandbox.inbox.accepts(1)
    first, second = sandbox.inbox.webhooks
    assert (first.notification_id, first.body) == (second.notification_id, second.body)


async def test_a_dead_unit_is_its_message_and_is_worked_on_again_when_it_is_moved_back(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    world, platform = sandbox.world, sandbox.platform
    made = unit(destinations=[hook("noc")], expires_at="2100-01-01T00:00:00Z")
    late = unit(incident_id="inc-late", intel_request_id=None, fingerprint=None, destinations=[hook("late")])
    platform.behaviours[Endpoint.ORGANIZATION].script.extend([503] * 3)
    async with fleet(hasty | {"NS_MAX_AGE": "1ms"}), patience(40):
        await broker.publish([made])
        [unwell] = await broker.dead(1)
        await broker.publish([late])
        [missing] = await broker.dead(1)
        world.incidents["inc-late"] = world.incidents[made["incident_id"]] | {"incident_id": "inc-late"}
        for letter in (unwell, missing):
            await broker.publish([letter.body], headers=letter.headers)
        await sandbox.inbox.accepts(2)
    assert why(unwell) == ("context_unavailable", "compose")
    assert why(missing) == ("subject_not_found", "compose")
    assert (unwell.body, missing.body) == (orjson.dumps(made), orjson.dumps(late))
    assert sandbox.inbox.duplicates == 0


async def test_a_replayed_unit_sends_nothing_again_that_was_delivered(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    sandbox.inbox.behaviours["refusing"].script.append(400)
    made = unit(destinations=[hook("noc"), hook("refusing")])
    async with fleet(hasty) as (worker,), patience(30):
        await broker.publish([made])
        [letter] = await broker.dead(1)
        await worker.says("unit.done")
        await broker.publish([made], headers={"x-reason": "moved back"})
        await worker.says("unit.suppressed", reason="already_done")
    assert reasons([letter]) == {"refusing": "rejected"}
    assert len(posts_at(sandbox.inbox, "noc")) == 1


async def test_what_five_workers_died_with_is_dead(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    sandbox.inbox.behaviours["deadly"].answer = "hang"
    environment = hasty | {"NS_LEASE": option(1.1), "NS_SEND_TIMEOUT": option(1)}
    await command(environment, "topology")
    await broker.publish([unit(destinations=[hook("deadly")])])
    for death in range(5):
        async with fleet(environment) as (victim,), patience(30):
            await sandbox.inbox.receives(death + 1)
            victim.kill()
            await victim.ended()
    async with fleet(environment), patience(30):
        [letter] = await broker.dead(1)
    # The unit, or its notification where the lease of that ran a little longer.
    assert why(letter) in {("crashed", "compose"), ("crashed", "deliver")}
    assert len(sandbox.inbox.webhooks) == 5
    assert len({post.notification_id for post in sandbox.inbox.webhooks}) == 1


async def test_a_letter_opens_what_is_dead_once_and_the_letter_of_its_replay_once_more(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    sandbox.inbox.behaviours["noc"].script.extend([400, 400])
    async with fleet(hasty) as (worker,), patience(30):
        await broker.publish([unit(destinations=[hook("noc")])])
        [first] = await broker.dead(1)
        await broker.publish([first.body], lane="notifications", headers=first.headers)
        [second] = await broker.dead(1)
        await broker.publish([first.body], lane="notifications", headers=first.headers)
        await worker.says("notification.suppressed", reason="already_dead")
        await broker.publish([second.body], lane="notifications", headers=second.headers)
        await sandbox.inbox.accepts(1)
    assert [letter.headers.get("x-replayed") for letter in (first, second)] == [None, 1]
    assert [post.answered for post in posts_at(sandbox.inbox, "noc")] == [400, 400, 200]
