"""A command publishes one event and waits for the broker's confirm."""

import pytest

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.announcement import publish_once
from notification_sender.adapters.rabbitmq.broker import RabbitMQ
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.model.errors import Unready
from tests.e2e.broker import Broker
from tests.services.program import free_port

TOPIC = "operator.paused"


async def test_an_event_is_in_the_bound_queue_when_the_command_ends(amqp_url: str, topology_prefix: str) -> None:
    names, clock = Topology(prefix=topology_prefix), SystemClock()
    worker = RabbitMQ(address=BrokerAddress(amqp_url), topology=names, clock=clock)
    await worker.connect()
    await worker.close()
    broker = Broker(amqp_url, topology_prefix)
    await broker.hear()
    await publish_once(BrokerAddress(amqp_url), names, clock, topic=TOPIC, event=b"{}")
    [heard] = await broker.take("heard")
    assert (heard.routing_key, heard.body) == (TOPIC, b"{}")
    assert heard.content_type == "application/cloudevents+json"


async def test_before_the_first_worker_nobody_can_hear_it(amqp_url: str, topology_prefix: str) -> None:
    await publish_once(
        BrokerAddress(amqp_url), Topology(prefix=topology_prefix), SystemClock(), topic=TOPIC, event=b"{}"
    )


async def test_a_broker_that_is_away_is_named(topology_prefix: str) -> None:
    url = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    with pytest.raises(Unready):
        await publish_once(
            BrokerAddress(url), Topology(prefix=topology_prefix), SystemClock(), topic=TOPIC, event=b"{}"
        )
