"""Dramatiq: ``dramatiq bench.peers.on_dramatiq``; as a program it publishes the backlog."""

from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from bench.peers.job import AMQP_URL, QUEUE, backlog
from bench.peers.thread_post import post

broker = RabbitmqBroker(url=AMQP_URL, confirm_delivery=True)
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=QUEUE, actor_name="deliver")
def deliver(webhook_id: str, unit: dict[str, Any]) -> None:  # noqa: ARG001 - a message carries its unit
    post(webhook_id)


if __name__ == "__main__":
    for job in backlog():
        deliver.send(*job)
    broker.close()
