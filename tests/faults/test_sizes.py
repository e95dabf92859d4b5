"""A message that the broker does not take is that message's end, and costs nobody a connection."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.rig import Rig
from tests.faults.rows import row
from tests.services.rabbitmq import RabbitMQ

LIMIT = 50_000


@pytest.fixture
async def limited(rabbitmq: RabbitMQ) -> AsyncIterator[None]:
    """``max_message_size``, for every channel that is opened meanwhile."""
    await asyncio.to_thread(rabbitmq.limit_messages, LIMIT)
    yield
    await asyncio.to_thread(rabbitmq.limit_messages)


@pytest.fixture
def templates(tmp_path: Path) -> str:
    shipped = Path(__file__).parents[2] / "templates" / "intel"
    vast = '{"a": "' + "x" * LIMIT + '"}'
    for name, text in {"intel": (shipped / "webhook.json.j2").read_text(), "vast": vast}.items():
        (tmp_path / "templates" / name).mkdir(parents=True)
        (tmp_path / "templates" / name / "webhook.json.j2").write_text(text)
    (tmp_path / "templates" / "intel" / "email.none").touch()
    return str(tmp_path / "templates")


@row(109, "a notification to be parked is larger than the broker's max_message_size")
@pytest.mark.usefixtures("limited")
async def test_what_cannot_be_parked_is_dead_and_what_is_parked_beside_it_is_delivered(
    rig: Rig, templates: str
) -> None:
    vast = [rig.unit(destinations=[rig.hook(template="vast")]) for _ in range(10)]
    for unit in vast:
        rig.inbox.behaviours[unit["destinations"][0]["destination_id"]].script.append(500)
    async with rig.workers(2, NS_TEMPLATES_DIR=templates) as workers:
        await rig.publish([it for pair in zip(rig.units(10, script=[500]), vast, strict=True) for it in pair])
        await rig.account(sends=2, dead={"too_large": len(vast)})
        said = [it["event"] for worker in workers for it in worker.events]
        assert [await worker.stop() for worker in workers] == [0, 0]
    assert not {"broker.lost", "backend.retrying", "delivery.unexpected", "delivery.put_off"}.intersection(said)
