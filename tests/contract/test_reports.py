"""The reports of a fleet on Redis and on the embedded one."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from notification_sender.adapters.memory.redis import EmbeddedRedis
from notification_sender.adapters.redis.client import Redis, Store
from notification_sender.adapters.redis.constants import RING_SAMPLES
from notification_sender.adapters.redis.reports import KEPT_MS, SAMPLES, RedisReports
from notification_sender.policy.fleet_view import standing
from notification_sender.policy.objectives import Tally
from tests.policy.fleets import report


@pytest.fixture(params=["embedded", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    store = EmbeddedRedis() if request.param == "embedded" else Redis(url=request.getfixturevalue("redis_server"))
    await store.connect()
    yield store
    await store.close()


@pytest.fixture
def reports(store: Store) -> RedisReports:
    return RedisReports(redis=store, prefix="ns")


async def test_a_report_is_read_as_it_was_written_with_the_time_of_the_store(reports: RedisReports) -> None:
    assert (await reports.read()).received == []
    first, second = report(1), report(2, held=(), hosts_out=("noc.example",))
    times = [await reports.write(it, "1 2 3") for it in (first, second)]
    seen = await reports.read()
    assert [it.report for it in seen.received] == [first, second]
    assert [it.at for it in seen.received] == pytest.approx(times)
    assert [standing(seen, it) for it in seen.received] == ["fresh", "fresh"]


async def test_a_process_that_said_goodbye_is_forgotten(reports: RedisReports, store: Store) -> None:
    await reports.write(report(1), "")
    await reports.remove(report(1).process)
    assert (await reports.read()).received == []
    assert not await store.execute("EXISTS", f"ns:1:{{fleet}}:report:{report(1).process}")


@pytest.mark.parametrize("data", [b"no JSON", b"null", b'{"form": 99}', b'{"form": 1, "apis": 7}'])
async def test_a_report_that_cannot_be_read_is_there_without_figures(
    reports: RedisReports, store: Store, data: bytes
) -> None:
    await reports.write(report(1), "")
    await store.execute("HSET", f"ns:1:{{fleet}}:report:{report(1).process}", "data", data)
    [received] = (await reports.read()).received
    assert (received.process, received.report) == (report(1).process, None)


async def test_fields_of_a_later_version_are_ignored(reports: RedisReports, store: Store) -> None:
    await reports.write(report(1), "")
    key = f"ns:1:{{fleet}}:report:{report(1).process}"
    data = (await store.execute("HGET", key, "data")).replace(b'{"form":1,', b'{"form":1,"mood":"fine",')
    await store.execute("HSET", key, "data", data)
    [received] = (await reports.read()).received
    assert received.report == report(1)


async def test_the_ring_keeps_an_hour_of_samples(reports: RedisReports) -> None:
    for number in range(RING_SAMPLES + 5):
        await reports.write(report(1), str(number))
    ring = [int(it.split()[1]) for it in await reports.ring(report(1).process)]
    assert ring == list(range(5, RING_SAMPLES + 5))


async def test_one_process_leads_at_a_time(reports: RedisReports) -> None:
    led = await asyncio.gather(*(reports.lead(f"pod-{it}", 60.0) for it in range(5)))
    assert sorted(led) == [False] * 4 + [True]


async def test_the_latest_depths_are_kept_oldest_first(reports: RedisReports) -> None:
    for number in range(SAMPLES + 3):
        samples = await reports.add_sample(number, 1, 2, (3, 4))
    assert [it.units for it in samples] == list(range(3, SAMPLES + 3))
    assert (samples[-1].notifications, samples[-1].dead, samples[-1].ladder) == (1, 2, (3, 4))
    assert (await reports.read()).samples == samples


async def test_the_summary_of_the_leader_is_read_by_all(reports: RedisReports) -> None:
    assert await reports.announced() is None
    await reports.announce({"limit": "idle", "eta_s": 0.0}, 60.0)
    assert await reports.announced() == {"limit": "idle", "eta_s": 0.0}


async def test_every_key_has_an_end(reports: RedisReports, store: Store) -> None:
    await reports.write(report(1), "")
    await reports.add_sample(1, 1, 1, ())
    await reports.lead("pod-1", 60.0)
    await reports.announce({}, 60.0)
    names = ("reports", f"report:{report(1).process}", "queues", "leader", "summary")
    ends = [await store.execute("PTTL", f"ns:1:{{fleet}}:{it}") for it in names]
    assert all(0 < end <= KEPT_MS for end in ends)


async def test_what_processes_observed_of_an_objective_is_added_up(reports: RedisReports) -> None:
    assert await reports.objectives() == ({}, {})
    await reports.count({"claim": Tally(5, 4), "end_to_end": Tally(1, 0)})
    await reports.count({"claim": Tally(2, 2)})
    recent, whole = await reports.objectives()
    assert recent == whole == {"claim": Tally(7, 6), "end_to_end": Tally(1, 0)}
