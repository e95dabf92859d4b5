"""The queues move to another prefix: what was parked or never taken is sent by the new workers, each once."""

import json
from collections.abc import Callable
from typing import Any

import aio_pika

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import fleet
from tests.patience import patience

Make = Callable[..., dict[str, Any]]


async def test_what_the_old_prefix_holds_is_sent_once_by_workers_of_the_new_one(
    *, sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, topology_prefix: str
) -> None:
    delivered, waiting = unit(), [unit() for _ in range(20)]
    async with fleet(environment), patience(30):
        await broker.publish([delivered])
        await sandbox.inbox.accepts(1)
    # A copy of the one that was delivered: only the records of the old prefix know that.
    await broker.publish([delivered, *waiting])
    renewed = environment | {"NS_TOPOLOGY_PREFIX": f"{topology_prefix}-2", "NS_REDIS_PREFIX": topology_prefix}
    moved = await command(renewed, "topology", "--migrate", topology_prefix, "--yes", "--json")
    said = json.loads(moved.out)
    assert (moved.code, said["ready"], said["parked"]) == (0, {}, 0)
    # One more, if the old worker was stopped before its ack.
    assert said["moved"][f"{topology_prefix}.units"] in {21, 22}
    async with fleet(renewed), patience(30):
        await sandbox.inbox.accepts(21)
    assert (len(sandbox.inbox.accepted), sandbox.inbox.duplicates) == (21, 0)


async def test_the_difference_names_what_is_missing_and_what_has_other_arguments(
    environment: dict[str, str], amqp_url: str, topology_prefix: str
) -> None:
    before = await command(environment, "topology", "--diff")
    assert (before.code, f"missing    queue {topology_prefix}.units" in before.out) == (1, True)
    await command(environment, "topology")
    assert (await command(environment, "topology", "--diff")).code == 0
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(f"{topology_prefix}.units")
        await channel.declare_queue(f"{topology_prefix}.units", durable=True)
    changed = await command(environment, "topology", "--diff", "--json")
    assert changed.code == 1
    [fault] = json.loads(changed.out)["differing"]
    assert f"queue {topology_prefix}.units: PRECONDITION_FAILED" in fault
