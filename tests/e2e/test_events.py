"""What is told on the exchange of events, by real workers."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import orjson
from aio_pika.abc import AbstractIncomingMessage

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import fleet
from tests.e2e.reading import payload
from tests.patience import patience
from tests.services.rabbitmq import RabbitMQ

Make = Callable[..., dict[str, Any]]
SCHEMA = orjson.loads((Path(__file__).parents[2] / "docs" / "reference" / "event.schema.json").read_bytes())
SOURCES = {"organization", "incident", "assets", "outages"}


def read(message: AbstractIncomingMessage) -> Any:
    """As the specification and our own reference have it."""
    event = orjson.loads(message.body)
    assert message.content_type == "application/cloudevents+json"
    assert event["specversion"] == "1.0"
    assert event["source"] == f"/notification-sender/{str(message.exchange).removesuffix('.events')}"
    assert event["datacontenttype"] == "application/json"
    assert datetime.fromisoformat(event["time"]).tzinfo
    assert event["type"].rpartition(".")[2] == event["data"]["outcome"]
    jsonschema.validate(event["data"], SCHEMA)
    assert event["data"].keys() <= SCHEMA["properties"].keys()
    return event


async def test_every_end_is_told_with_its_circumstances_and_with_nobodys_secrets(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make, mail: Make
) -> None:
    for destination, answers in {"flaky": [500], "dead": [404], "fine": []}.items():
        behaviour = sandbox.inbox.behaviours[destination]
        behaviour.script.extend(answers)
        behaviour.body = b'{"you sent me": "canary"}'
    units = [
        unit(destinations=[hook(name, secret=next(iter(sandbox.world.secret_names)))])
        for name in ("fine", "flaky", "dead")
    ]
    units.append(unit(destinations=[mail("noc")], channels=["email"]))
    units.append(unit(destinations=[hook("late")], expires_at="2020-01-01T00:00:00Z"))
    async with fleet(hasty), patience(60):
        await broker.hear()
        await broker.publish(units)
        heard = await broker.take("heard", 6)
    events = [read(message) for message in heard]
    assert Counter(message.routing_key for message in heard) == {
        "webhook.delivered": 2, "webhook.failed": 1, "webhook.dead": 1, "email.delivered": 1, "unit.suppressed": 1
    }  # fmt: skip
    by_end = {(it["data"].get("destination_id"), it["data"]["outcome"]): it["data"] for it in events}
    assert by_end["flaky", "failed"].items() >= {"sent": "answered", "status": 500, "attempt": 1}.items()
    assert by_end["flaky", "delivered"].items() >= {"status": 200, "attempt": 2}.items()
    assert by_end["dead", "dead"].items() >= {"reason": "rejected", "status": 404}.items()
    assert by_end["noc", "delivered"]["status"] == 250
    assert by_end[None, "suppressed"]["reason"] == "expired"
    for data in (by_end["fine", "delivered"], by_end["flaky", "delivered"], by_end["noc", "delivered"]):
        assert data["sources"].keys() >= SOURCES
        assert len(data["template_version"]) == 12
        assert {"age_ms", "send_ms"} <= data.keys()
    assert by_end["fine", "delivered"]["compose_ms"] > 0
    content = [
        str(payload(post)["data"]["organization_name"]) for post in sandbox.inbox.webhooks if post.body[:1] == b"{"
    ]
    hidden = ["canary", "127.0.0.1", "http://", "noc@example.com", "example.com", "whsec_", *content]
    assert not [(word, message.body) for message in heard for word in hidden if word.encode() in message.body]


async def test_a_broker_that_blocks_publishers_blocks_events_and_no_delivery(  # noqa: PLR0917 - fixtures
    rabbitmq: RabbitMQ, sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    async with fleet(environment):
        await broker.hear()
    await broker.publish([unit(destinations=[hook("noc")]) for _ in range(40)])
    await asyncio.to_thread(rabbitmq.ctl, "set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        async with fleet(environment) as (worker,), patience(60):
            await sandbox.inbox.accepts(40)
            assert await broker.depth("heard") < 40
            await asyncio.to_thread(rabbitmq.ctl, "set_vm_memory_high_watermark", "absolute", "2GB")
            heard = await broker.take("heard", 40)
            assert "notification_sender_events_dropped_total 0.0" in (await worker.get("/metrics")).text
    finally:
        await asyncio.to_thread(rabbitmq.ctl, "set_vm_memory_high_watermark", "absolute", "2GB")
    assert {message.routing_key for message in heard} == {"webhook.delivered"}
