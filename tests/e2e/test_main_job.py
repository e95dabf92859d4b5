"""The main job, on real RabbitMQ and Redis, with several worker processes."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import fleet
from tests.patience import patience, patient, slowness

Make = Callable[..., dict[str, Any]]


async def test_four_hundred_units_are_eight_hundred_notifications_each_once(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker
) -> None:
    async with fleet(environment, 2) as workers:
        await broker.publish(sandbox.world.work_units(400, batch_id="nightly"))
        async with patience(90):
            await sandbox.inbox.accepts(800)
        codes = [await worker.stop() for worker in workers]
    assert codes == [0, 0]
    assert (len(sandbox.inbox.accepted), sandbox.inbox.duplicates, sandbox.inbox.unverified) == (800, 0, [])
    assert [await broker.depth(it) for it in ("units", "notifications", "dead")] == [0, 0, 0]
    assert sandbox.platform.forbidden == 0
    assert sandbox.platform.leaks == Counter()


async def test_a_failed_webhook_is_sent_again_with_the_same_id_and_bytes_and_no_api_call(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    sandbox.inbox.behaviours["flaky"].script.extend([500, 500])
    async with fleet(hasty):
        await broker.publish([unit(destinations=[hook("flaky")])])
        async with patience(30):
            await sandbox.inbox.receives(1)
            calls = Counter(sandbox.platform.calls)
            await sandbox.inbox.accepts(1)
    posts = sandbox.inbox.webhooks
    assert [post.answered for post in posts] == [500, 500, 200]
    assert len({(post.notification_id, post.body) for post in posts}) == 1
    assert sandbox.platform.calls == calls


async def test_a_throttled_destination_is_told_at_its_rate_and_nothing_holds_a_slot(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    rate = 5 / slowness()  # a second: what has no limit is to be done long before
    slow = hook("slow", rate={"per_minute": 60 * rate, "burst": 5})
    async with fleet(environment | {"NS_CONCURRENCY": "4"}):
        await broker.publish([unit(destinations=[slow]) for _ in range(60)])
        await broker.publish([unit(destinations=[hook("fast")]) for _ in range(60)])
        async with patience(60):
            await sandbox.inbox.accepts(120)
    arrived = {
        name: [it.arrived for it in sandbox.inbox.webhooks if it.destination_id == name] for name in ("slow", "fast")
    }
    for window in (1.0, 2.0, 5.0):
        due = 5 + rate * (window + patient(0.25))
        assert max(sum(start <= it <= start + window for it in arrived["slow"]) for start in arrived["slow"]) <= due
    # With four slots, sixty others would have waited twelve seconds behind anything that waits in one.
    assert max(arrived["fast"]) < arrived["slow"][40]
    assert sandbox.inbox.duplicates == 0


async def test_emails_say_the_same_in_text_and_html_under_a_stable_id(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make
) -> None:
    async with fleet(environment):
        await broker.publish([unit(channels=["email"])])
        async with patience(30):
            await sandbox.inbox.accepts(1)
    [letter] = sandbox.inbox.emails
    message = letter.message
    assert message.get_content_type() == "multipart/alternative"
    assert [it.get_content_type() for it in message.iter_parts()] == ["text/plain", "text/html"]
    assert message["message-id"] == f"<{letter.notification_id}@notifications.example.com>"


async def test_the_payload_is_what_the_contract_says(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make
) -> None:
    made = unit()
    async with fleet(environment):
        await broker.publish([made])
        async with patience(30):
            await sandbox.inbox.accepts(1)
    [post] = sandbox.inbox.webhooks
    body, headers = orjson.loads(post.body), {name.lower(): value for name, value in post.headers}
    assert list(body) == ["type", "timestamp", "data"]
    assert body["type"] == made["event"]
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == headers["webhook-id"]
    assert abs(int(headers["webhook-timestamp"]) - post.arrived) < patient(5)
    assert "traceparent" not in headers
