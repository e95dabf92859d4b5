"""Strangers at the health port: what they keep open must cost nobody a delivery."""

import asyncio
import resource
from collections.abc import Iterator

import pytest

from tests.faults.rig import Rig
from tests.faults.rows import record, row

HALVES = 2000
FILES = "110"
"""Descriptors that the worker may have: more than it needs, far fewer than strangers would take."""


@pytest.fixture
def _many_files() -> Iterator[None]:
    """For the strangers, who run in this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2 * HALVES, before[1]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@row(110, "2,000 half requests at the health port of a worker of few descriptors")
@pytest.mark.usefixtures("_many_files")
async def test_half_requests_cost_no_delivery_and_no_answer(rig: Rig) -> None:
    strangers: list[asyncio.StreamWriter] = []
    async with rig.worker("sh", "-c", f'ulimit -n {FILES}; exec "$@"', "sh") as worker:
        await worker.says("worker.ready")
        port = (await worker.says("health.listening"))["port"]
        try:
            for number in range(HALVES):
                _, half = await asyncio.open_connection("127.0.0.1", port)
                half.write(b"GET /metrics HTTP/1.1\r\nHost: worker\r\n")
                strangers.append(half)
                if number % 500 == 499:
                    await rig.publish(rig.units(20, latency=0.1))
                    assert (await worker.get("/readyz")).status_code == 200
            figures = await rig.account(sends=1)
        finally:
            for half in strangers:
                half.transport.abort()
    assert [it for it in worker.events if it["event"] == "notification.failed"] == []
    record(figure=f"{HALVES} half requests, {figures.duplicates} duplicates")
