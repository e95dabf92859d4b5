"""`dead list` and `dead replay` on real services: which letters go where, which stay, and which are over."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import aio_pika
import orjson
import pytest
import redis.asyncio

from notification_sender.model.destination import Destination
from notification_sender.model.notification import Notification
from tests.e2e.broker import Broker
from tests.e2e.command import command

OWNER = "org-1"
UNIT = {"work_unit_id": "wu-1", "organization_id": OWNER, "incident_id": "inc-1"}
DEAD = {"x-reason": "exhausted", "x-detail": "503", "x-stage": "deliver", "x-first-seen": "2026-03-06T08:26:00.000Z"}
OF_A_UNIT = DEAD | {"x-reason": "context_unavailable", "x-stage": "compose"}
GIVEN_UP = {"x-death": [{"queue": "units", "count": 1}], "x-first-death-reason": "delivery_limit"}


def notification(name: str, destination: dict[str, Any] | None = None, **fields: Any) -> bytes:
    own = {"destination_id": name, "channel": "webhook", "url": f"https://hooks.example/{name}"} | (destination or {})
    made = {"notification_id": f"id-{name}", "organization_id": OWNER, "work_unit_id": "wu-1", "kind": "intel"}
    content = {"event": "incident.updated", "content": {"json": "{}"}, "destination": Destination.model_validate(own)}
    return Notification(**(made | content | fields)).encode()


LETTERS: Sequence[tuple[bytes, dict[str, Any]]] = [
    (orjson.dumps(UNIT), OF_A_UNIT),
    (notification("plain"), DEAD | {"x-replayed": 2}),
    (notification("told"), DEAD),
    (notification("late", expires_at=datetime(2026, 3, 6, tzinfo=UTC)), DEAD),
    (notification("off"), DEAD | {"x-reason": "gone"}),
    (notification("mail", {"channel": "email", "to": "noc@example.com"}), DEAD),
    (b"cut o", DEAD | {"x-stage": "deliver", "x-reason": "malformed"}),
    (orjson.dumps(UNIT | {"work_unit_id": "wu-2"}), GIVEN_UP),
]


@pytest.fixture
async def dead(environment: dict[str, str], broker: Broker, redis_server: str, topology_prefix: str) -> None:
    """All of ``LETTERS``, and what Redis knows of them."""
    await command(environment, "topology")
    for body, headers in LETTERS:
        await broker.publish([body], lane="dead", headers=headers)
    at = f"{topology_prefix}:1:{{{OWNER}}}"
    async with redis.asyncio.Redis.from_url(redis_server) as store:
        await store.hset(f"{at}:notification:id-told", "state", "delivered")
        await store.hset(f"{at}:destination:off:0123456789abcdef", mapping={"off": "gone", "until": 4 * 10**15})
    await command(environment, "suppressions", "add", "--organization", OWNER, "noc@example.com")


async def dead_command(environment: dict[str, str], *words: str) -> tuple[int, Any]:
    ended = await command(environment, "dead", *words, "--json")
    return ended.code, json.loads(ended.out)


@pytest.mark.usefixtures("dead")
async def test_each_letter_goes_back_to_its_own_lane_and_what_would_be_suppressed_stays(
    environment: dict[str, str], broker: Broker
) -> None:
    wanted = {"matched": 8, "would_send": 4, "skipped_delivered": 1, "skipped_unwanted": 3}
    assert await dead_command(environment, "replay", "--dry-run") == (1, wanted)
    assert await broker.depth("dead") == 8
    assert await dead_command(environment, "replay") == (1, wanted)
    depths = await broker.depths(["dead", "units", "notifications"])
    assert depths == {"dead": 3, "units": 2, "notifications": 2}
    moved = [*await broker.take("units", 2), *await broker.take("notifications", 2)]
    headers = {it.body: dict(it.headers) for it in moved}
    assert headers == {
        LETTERS[0][0]: OF_A_UNIT,
        LETTERS[7][0]: {},
        LETTERS[1][0]: DEAD | {"x-replayed": 2},
        LETTERS[6][0]: LETTERS[6][1],
    }
    assert all(it.delivery_mode == aio_pika.DeliveryMode.PERSISTENT for it in moved)
    assert await dead_command(environment, "replay") == (
        1,
        {**dict.fromkeys(wanted, 0), "matched": 3, "skipped_unwanted": 3},
    )


@pytest.mark.usefixtures("dead")
async def test_letters_are_listed_and_chosen_by_reason_organization_and_destination(
    environment: dict[str, str], broker: Broker
) -> None:
    code, piles = await dead_command(environment, "list")
    assert code == 0
    assert {(it["reason"], it["organization_id"], it["destination_id"], it["count"]) for it in piles} == {
        ("context_unavailable", OWNER, None, 1),
        ("delivery_limit", OWNER, None, 1),
        ("malformed", None, None, 1),
        ("gone", OWNER, "off", 1),
        *(("exhausted", OWNER, name, 1) for name in ("plain", "told", "late", "mail")),
    }
    of_plain = ("--reason", "exhausted", "--organization", OWNER, "--destination", "plain")
    [one] = (await dead_command(environment, "list", *of_plain))[1]
    assert (one["oldest"], one["detail"]) == ("2026-03-06T08:26:00Z", "503")
    assert (await dead_command(environment, "replay", *of_plain))[1]["would_send"] == 1
    assert (await dead_command(environment, "replay", "--destination", "nobody"))[0] == 1
    assert await broker.depth("dead") == 7


async def test_where_no_worker_was_started_yet_the_queue_is_named(environment: dict[str, str]) -> None:
    ended = await command(environment, "dead", "list")
    assert (ended.code, ended.out) == (1, "")
    assert f"{environment['NS_TOPOLOGY_PREFIX']}.dead" in ended.err
    assert "NS_TOPOLOGY_PREFIX" in ended.err
