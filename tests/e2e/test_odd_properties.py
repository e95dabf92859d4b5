"""What a publisher sets beside the body costs nobody else anything: no connection is lost, no message delayed."""

import json
from collections.abc import Callable
from struct import pack
from typing import Any

import aiormq

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import Worker, fleet
from tests.faults.raw import Raw, long, properties, publish, short, table
from tests.faults.rows import row
from tests.patience import patience

Make = Callable[..., dict[str, Any]]
NO_UTF8 = b"\xff\xfe\x80"
DEEP = b"V"
for _ in range(400):
    DEEP = b"A" + long(DEEP)

READ = {
    "a time in µs": properties(timestamp=pack(">Q", 1_772_785_560_000_000)),
    "a time before 1970": properties(timestamp=pack(">q", -1)),
    "the last time": properties(timestamp=pack(">Q", 2**63)),
    "a header in µs": properties(headers=table((b"sent", b"T" + pack(">Q", 1_772_785_560_000_000)))),
    "a header before 1970": properties(headers=table((b"x-first-seen", b"T" + pack(">q", -86_400)))),
    "a name that is no UTF-8": properties(headers=table((NO_UTF8, b"V"))),
    "our names, no UTF-8": properties(headers=table((b"x-first-seen", b"S" + long(NO_UTF8)), (b"x-due", b"V"))),
    "counts beyond all": properties(
        headers=table((b"x-attempt", b"l" + pack(">q", 2**63 - 1)), (b"x-replayed", b"l" + pack(">q", 2**53)))
    ),
    "every short string": properties(
        **dict.fromkeys(
            ("content_type", "content_encoding", "correlation_id", "reply_to", "message_id"), short(NO_UTF8)
        ),
        **dict.fromkeys(("type", "app_id", "cluster_id"), short(NO_UTF8)),
    ),
    "a decimal": properties(headers=table((b"x-misses", b"D\xff" + pack(">I", 2**32 - 1)))),
    "the highest priority": properties(priority=b"\xff"),
}
REFUSED = {
    "nested": properties(headers=table((b"deep", DEEP))),
    "thousands": properties(headers=table(*((b"%d" % it, b"t\x01") for it in range(9000)))),
}


async def any_key(amqp_url: str, topology_prefix: str) -> bytes:
    """An exchange behind which the units are, whatever the routing key."""
    name = f"{topology_prefix}.elsewhere"
    connection = await aiormq.connect(amqp_url)
    channel = await connection.channel()
    await channel.exchange_declare(name, exchange_type="fanout", durable=True)
    await channel.queue_bind(f"{topology_prefix}.units", name)
    await connection.close()
    return name.encode()


def lost(worker: Worker) -> list[dict[str, Any]]:
    return [it for it in worker.events if it["event"] in {"broker.lost", "broker.unreachable", "lane.not_consuming"}]


@row(101, "properties, headers and a routing key that the library cannot decode")
async def test_no_property_ends_a_connection_and_no_message_waits_for_one_that_is_odd(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, amqp_url: str, unit: Make
) -> None:
    key = f"{environment['NS_TOPOLOGY_PREFIX']}.units".encode()
    odd = [Raw(json.dumps(unit()).encode(), it, key=key) for it in READ.values()]
    refused = {json.dumps(unit()).encode(): it for it in REFUSED.values()}
    async with fleet(environment, 2) as workers:
        exchange = await any_key(amqp_url, environment["NS_TOPOLOGY_PREFIX"])
        odd.append(Raw(json.dumps(unit()).encode(), properties(), exchange, NO_UTF8))
        for it in [*odd, *(Raw(body, beside, key=key) for body, beside in refused.items())]:
            await publish(amqp_url, [it])
            await broker.publish([unit(), unit()])
        async with patience(60):
            letters = await broker.dead(len(refused))
            await sandbox.inbox.accepts(len(odd) + 2 * (len(odd) + len(refused)))
        assert [it for worker in workers for it in lost(worker)] == []
        assert [await worker.stop() for worker in workers] == [0, 0]
    assert {it.body: it.headers["x-reason"] for it in letters} == dict.fromkeys(refused, "malformed")
    assert all("its properties cannot be read" in str(it.headers["x-detail"]) for it in letters)
    assert not any(it.redelivered for it in letters)
    assert [await broker.depth(it) for it in ("units", "notifications", "dead")] == [0, 0, 0]
