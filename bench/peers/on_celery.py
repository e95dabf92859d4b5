"""Celery: ``celery -A bench.peers.on_celery worker``; as a program it publishes the backlog."""

from typing import Any

from celery import Celery

from bench.peers.job import AMQP_URL, QUEUE, backlog
from bench.peers.thread_post import post

app = Celery("peers", broker=AMQP_URL)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue=QUEUE,
    task_default_queue_type="quorum",
    worker_enable_remote_control=False,
    broker_transport_options={"confirm_publish": True},
)


@app.task(name="deliver")
def deliver(webhook_id: str, unit: dict[str, Any]) -> None:  # noqa: ARG001 - a message carries its unit
    post(webhook_id)


if __name__ == "__main__":
    with app.producer_pool.acquire(block=True) as producer:
        for job in backlog():
            deliver.apply_async(args=job, producer=producer)
