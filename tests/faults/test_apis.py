"""Our own APIs and what is kept of them, in every kind of trouble: it costs time, and nobody is told anything wrong."""

import asyncio
import gzip
import random
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from redis.asyncio import Redis

from notification_sender.sandbox.behaviour import Behaviour
from notification_sender.sandbox.platform.endpoints import Endpoint
from notification_sender.sandbox.platform.platform import Platform
from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.fleet import Worker
from tests.e2e.reading import payload
from tests.e2e.test_hostile_receivers import forget_peak, resident
from tests.faults.proxy import Passing, Proxy, replied
from tests.faults.rig import Rig
from tests.faults.rows import lasting, record, row, seed
from tests.patience import option, patient
from tests.services.program import free_port

Record = dict[str, Any]
ABOUT_INCIDENTS = (Endpoint.INCIDENT, Endpoint.CURRENT)
MIB = 1024 * 1024


def brief() -> dict[str, str]:
    return {"NS_API_TIMEOUT": option(1), "NS_GATHER_TIMEOUT": option(3)}


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """With more facts than a few seconds of trouble can use up."""
    async with Sandbox(tmp_path, organizations=60, incidents=600) as running:
        yield running


def about(rig: Rig, numbers: Iterable[int]) -> list[Record]:
    """A unit about each of these incidents: nothing that the APIs say of one serves another."""
    made = []
    for number in numbers:
        incident = rig.sandbox.world.incidents[f"inc-{number:05d}"]
        whose = {name: incident[name] for name in ("incident_id", "organization_id")}
        own = {"intel_request_id": None, "fingerprint": incident["modified"], "destinations": [rig.hook()]}
        made.append(rig.unit(**whose, **own))
    return made


def behaviours(rig: Rig, *endpoints: Endpoint) -> list[Behaviour]:
    return [rig.sandbox.platform.behaviours[it] for it in endpoints or ABOUT_INCIDENTS]


def turn(rig: Rig, *endpoints: Endpoint, **knobs: object) -> None:
    for behaviour in behaviours(rig, *endpoints):
        behaviour.configure(**knobs)


def calls(rig: Rig) -> int:
    return sum(it.calls for it in behaviours(rig))


def said(workers: Iterable[Worker], event: str) -> int:
    return sum(it["event"] == event for worker in workers for it in worker.events)


def notified(rig: Rig) -> dict[str, Record]:
    """What each unit's recipient reads, by the unit."""
    return {data["work_unit_id"]: data for post in rig.inbox.webhooks if (data := payload(post)["data"])}


OPTIONAL = {"address"}
"""The one fact that nobody waits for longer than 300 ms, which a machine under load may take."""


def all_is_true(rig: Rig, units: Iterable[Record]) -> bool:
    """Each was told of its own incident; nothing old, and nothing missing that a notification cannot do without."""
    read, incidents = notified(rig), rig.sandbox.world.incidents
    return all(
        OPTIONAL.issuperset(data["degraded"])
        and data["organization_id"] == unit["organization_id"]
        and data["incident"]["location"]["location_id"] == incidents[unit["incident_id"]]["location"]["location_id"]
        for unit in units
        for data in [read[unit["work_unit_id"]]]
    )


# --- answers that are none ----------------------------------------------------------------------------------------


@row(45, "half of the answers are 500", quick=False)
async def test_where_half_of_the_answers_are_errors_hardly_more_is_asked_than_was_due(rig: Rig) -> None:
    dice, units = random.Random(seed()), about(rig, range(400))
    turn(rig, script=dice.choices((500, 200), k=10_000), latency=0.02)
    async with rig.workers(2) as workers:
        await rig.publish(units)
        await asyncio.sleep(lasting(60) / 2)  # the fault itself
        turn(rig, script=[])
        await rig.account(since=time.time())
        # Each gathering is due one question about the incident, and one more where there is no current entry.
        due = len(units) + said(workers, "unit.deferred")
    tries = sum(it.calls for it in behaviours(rig, Endpoint.INCIDENT))
    record(figure=f"{tries / due:.2f} calls for each that was due")
    assert tries <= 1.2 * due
    assert all_is_true(rig, units)


def nobody_knows(_: Rig, api: Proxy) -> Callable[[], None]:
    api.hang()

    def over() -> None:
        api.resume()
        api.reset()

    return over


def drops_what_it_read(rig: Rig, _: Proxy) -> Callable[[], None]:
    turn(rig, answer="close")
    return lambda: turn(rig, answer=None)


def breaks_off(_: Rig, api: Proxy) -> Callable[[], None]:
    broken = True

    async def half(passing: Passing) -> bytes:
        if broken:
            asyncio.get_running_loop().call_soon(api.reset)
            return passing.raw[: len(passing.raw) // 2]
        return passing.raw

    def over() -> None:
        nonlocal broken
        broken = False

    api.when(replied("bytes", every=True), half)
    return over


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(nobody_knows, marks=row(47, "an API hangs")),
        pytest.param(drops_what_it_read, marks=row(47, "an API drops what it has read", quick=False)),
        pytest.param(breaks_off, marks=row(47, "an API resets in the middle of its answers", quick=False)),
    ],
)
async def test_an_api_without_an_answer_costs_each_call_its_deadline_and_the_units_wait(
    rig: Rig, trouble: Callable[[Rig, Proxy], Callable[[], None]]
) -> None:
    units = about(rig, range(150))
    async with Proxy(urlsplit(rig.environment["NS_INCIDENTS_URL"]).port or 0) as api:
        elsewhere = {"NS_INCIDENTS_URL": f"http://127.0.0.1:{api.port}"}
        async with rig.workers(2, **brief(), **elsewhere) as workers:
            await rig.publish(units[:50])
            await rig.inbox.accepts(50)
            over = trouble(rig, api)
            await rig.publish(units[50:])
            for worker in workers:
                await worker.says("api.circuit_opened", api="incidents")
            since = time.time()
            over()
            await rig.account(since=since)
    assert all_is_true(rig, units)


OF_AAA = (Endpoint.TOKEN, Endpoint.ORGANIZATION)


@row(133, "the AAA API hangs from the start on")
async def test_an_api_that_hangs_from_the_start_on_is_out_after_two_deadlines_and_every_unit_says_why(rig: Rig) -> None:
    units = about(rig, range(60))
    turn(rig, *OF_AAA, answer="hang")
    # So long that five calls, one after the other, do not fail within ten seconds.
    async with rig.workers(1, NS_API_TIMEOUT=option(2.5), NS_GATHER_TIMEOUT=option(6)) as (worker,):
        await rig.publish(units)
        await worker.says("api.circuit_opened", api="aaa")
        hung = sum(it.calls for it in behaviours(rig, *OF_AAA))
        status = (await worker.get("/status")).json()["apis"]["aaa"]
        metrics = (await worker.get("/metrics")).text
        await worker.says("unit.deferred", reason="context_unavailable", times=20)
        turn(rig, *OF_AAA, answer=None)
        await rig.account(since=time.time())
    deferred = [it for it in worker.events if it["event"] == "unit.deferred"]
    causes = [it["cause"] for it in deferred if it["reason"] == "context_unavailable"]
    record(figure=f"out after {hung} calls")
    assert hung <= 3  # two that hung, one after the other, and one that may have begun meanwhile
    assert status["state"] == "out"
    assert 'notification_sender_api_state{api="aaa",state="out"} 1.0' in metrics
    assert {it["api"] for it in causes} == {"aaa"}
    assert {it["phase"] for it in causes} <= {"first_byte", "breaker"}
    assert all(it["source"] for it in causes)
    assert all_is_true(rig, units)


@row(133, "an API answers later than it should")
async def test_an_api_that_answers_late_is_told_as_slow_and_stops_nobody(rig: Rig) -> None:
    units = about(rig, range(60))
    turn(rig, latency=0.3)
    async with rig.workers(1, NS_API_OBJECTIVE="100ms") as (worker,):
        await rig.publish(units)
        told = await worker.says("api.slow", api="incidents")
        status = (await worker.get("/status")).json()["apis"]["incidents"]
        metrics = (await worker.get("/metrics")).text
        await rig.account(since=time.time())
    assert told["first_byte_ms"] >= 300
    assert status["state"] == "slow"
    assert 'notification_sender_api_state{api="incidents",state="slow"} 1.0' in metrics
    assert not [it for it in worker.events if it.get("reason") == "context_unavailable"]
    assert all_is_true(rig, units)


@row(47, "nobody listens where an API should", quick=False)
async def test_an_api_that_is_started_late_is_found(rig: Rig) -> None:
    units, port = about(rig, range(50)), free_port()
    async with rig.workers(2, **brief(), NS_INCIDENTS_URL=f"http://127.0.0.1:{port}") as workers:
        await rig.publish(units)
        for worker in workers:
            await worker.says("api.circuit_opened", api="incidents")
        late = Platform(rig.sandbox.world, port=port)
        late.tokens = rig.sandbox.platform.tokens
        async with late:
            await rig.account(since=time.time())
    assert all_is_true(rig, units)


@row(48, "an API is ten times slower: what the fleet has under way", quick=False)
async def test_an_api_that_becomes_slow_has_no_more_under_way_than_its_budget(rig: Rig) -> None:
    units, budget = about(rig, range(400)), 10
    turn(rig, latency=0.05)
    async with rig.workers(2, NS_INCIDENTS_BUDGET=str(budget)):
        publishing = asyncio.create_task(rig.publish(units))
        await rig.inbox.accepts(100)
        turn(rig, latency=0.5)
        await rig.inbox.accepts(180)
        turn(rig, latency=0.05)
        await publishing
        await rig.account(since=time.time())
    peak = rig.sandbox.platform.peaks["incidents"]
    record(figure=f"{peak} of {budget} calls at most at once")
    assert peak <= budget


GARBAGE = {
    "HTML": b"<html><body>Please log in</body></html>",
    "a truncated record": b'{"incident_id": "inc-00000", "organization_id": "nort',
    "a list": b"[]",
    "nothing": b"",
    "an empty object": b"{}",
    "not UTF-8": b'{"incident_id": "\xff\xfe"}',
}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(it, id=name, marks=row(49, f"200 with {name}", quick=name == "HTML"))
        for name, it in GARBAGE.items()
    ],
)
async def test_a_success_that_is_none_is_not_kept_and_told_to_nobody(rig: Rig, body: bytes) -> None:
    units = about(rig, range(60))
    wrong = (*ABOUT_INCIDENTS, Endpoint.ORGANIZATION, Endpoint.ASSETS)
    turn(rig, *wrong, answer=200, body=body)
    async with rig.workers(2) as workers:
        await rig.publish(units)
        for worker in workers:
            await worker.says("unit.deferred", times=10)
        turn(rig, *wrong, answer=None, body=None)
        await rig.account(since=time.time())
    assert all_is_true(rig, units)


def bomb() -> tuple[bytes, dict[str, str]]:
    return gzip.compress(bytes(64 * MIB)) * 16, {"content-encoding": "gzip"}


def vast() -> tuple[bytes, dict[str, str]]:
    return bytes(32 * MIB), {}


def deep() -> tuple[bytes, dict[str, str]]:
    return b'{"a":' * 100_000 + b"1" + b"}" * 100_000, {}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(bomb, marks=row(50, "an answer of a MiB that inflates to one GiB", quick=False)),
        pytest.param(vast, marks=row(50, "sixteen answers of 32 MiB", quick=False)),
        pytest.param(deep, marks=row(50, "JSON nested 100,000 deep", quick=False)),
    ],
)
async def test_an_answer_without_measure_costs_little_memory(
    rig: Rig, kind: Callable[[], tuple[bytes, dict[str, str]]]
) -> None:
    units = about(rig, range(80))
    body, headers = kind()
    # Deadlines that do not depend on how long this very process is busy pouring.
    async with rig.workers(1, NS_SEND_TIMEOUT="10s", NS_LEASE="11s") as (worker,):
        await rig.publish(units[:40])
        await rig.inbox.accepts(40)
        before = resident(worker, "VmRSS")
        forget_peak(worker)
        turn(rig, script=[200] * 8, body=body, headers=headers)
        await rig.publish(units[40:])
        await rig.account()
        grown = (resident(worker, "VmHWM") - before) / MIB
    record(figure=f"{grown:.0f} MiB more at the peak")
    assert grown <= 64
    assert all_is_true(rig, units)


@row(51, "all tokens are revoked, and new ones live for two seconds", quick=False)
async def test_each_process_replaces_a_refused_token_once_however_many_calls_carried_it(rig: Rig) -> None:
    tokens, units = rig.sandbox.platform.tokens, about(rig, range(300))
    [endpoint] = behaviours(rig, Endpoint.TOKEN)
    async with rig.workers(4):
        await rig.publish(units[:100])
        await rig.inbox.accepts(100)
        before, endpoint.peak = endpoint.calls, 0
        tokens.revoke()
        await rig.publish(units[100:200])
        await rig.inbox.accepts(200)
        replaced = endpoint.calls - before
        tokens.expires_in = 2
        tokens.revoke()
        await rig.publish(units[200:])
        await rig.account()
    record(figure=f"{replaced} refreshes of 4 processes, {endpoint.peak} at most at once")
    assert replaced <= 4
    assert endpoint.peak <= 4


def in_seconds() -> str:
    return "3"


def as_a_date() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=4), usegmt=True)


@pytest.mark.parametrize(
    "wish",
    [
        pytest.param(in_seconds, marks=row(53, "429 with Retry-After in seconds")),
        pytest.param(as_a_date, marks=row(53, "429 with Retry-After as a date", quick=False)),
    ],
)
async def test_the_whole_fleet_grants_an_api_the_pause_that_it_asks_one_process_for(
    rig: Rig, wish: Callable[[], str]
) -> None:
    units = about(rig, range(100))
    async with rig.workers(3) as workers:
        turn(rig, script=[429], headers={"retry-after": wish()})
        await rig.publish(units[:1])
        for worker in workers:
            await worker.says("api.circuit_opened", api="incidents")
        asked = calls(rig)
        await rig.publish(units[1:])
        await rig.account()
    moments = [it.at for it in rig.sandbox.platform.log if it.endpoint in ABOUT_INCIDENTS]
    pause = moments[asked] - moments[asked - 1]
    record(figure=f"first call {pause:.1f} s after")
    assert pause >= 2.7
    assert pause <= patient(6)


@pytest.mark.parametrize(
    "wish",
    [
        pytest.param(it, marks=row(53, f"429 with Retry-After: {it}", quick=False))
        for it in ("-5", "soon", "0", "Wed, 21 Oct 2015 07:28:00 GMT", "1e9")
    ],
)
async def test_a_pause_that_makes_no_sense_is_none(rig: Rig, wish: str) -> None:
    turn(rig, script=[429], headers={"retry-after": wish})
    async with rig.workers(2):
        await rig.publish(about(rig, range(50)))
        await rig.account(within=15)


# --- what is kept -------------------------------------------------------------------------------------------------


NONSENSE = (b"", b"\xff\xfe", b"\x01{}", b"\x01[]", b'\x01{"organization_id": 1}', b"\x02" + bytes(100))
SHAPES = (7, True, "text", [], [{}], {}, {"organization_id": None}, {"incident": 7}, None)
"""Of values, as another version might have written them."""


def shapes(key: str) -> list[bytes]:
    """What is rightly the organization's that has this key, and nothing else about it is right."""
    owner = key.partition("{")[2].partition("}")[0]
    return [b"\x01" + orjson.dumps({"organization_id": owner, "value": it, "words": ""}) for it in SHAPES]


@row(56, "what lies in the cache is cut, foreign, or nonsense", quick=False)
async def test_what_somebody_else_wrote_into_the_cache_is_not_used(rig: Rig) -> None:
    first, again = about(rig, range(30)), about(rig, range(30))
    async with rig.workers(1):
        await rig.publish(first)
        await rig.account()
    keys = [it for it in await rig.ask("KEYS", f"{rig.prefix}:1:*:fact:*") if not it.endswith(":lease")]
    async with Redis.from_url(rig.redis.url) as redis:
        stored = [await redis.hget(key, "body") for key in keys]
        for number, key in enumerate(keys):
            elsewhere = stored[(number + len(keys) // 2) % len(keys)]
            kinds = (elsewhere, *NONSENSE, *shapes(key))
            await redis.hset(key, "body", kinds[number % len(kinds)])
    async with rig.workers(1):
        await rig.publish(again)
        await rig.account()
    assert len(keys) > 60
    assert all_is_true(rig, [*first, *again])


@row(57, "one of several calls at once fails, for one unit after the other", quick=False)
async def test_when_one_of_several_calls_fails_nothing_of_the_others_is_left_behind(rig: Rig) -> None:
    units = about(rig, range(200))
    async with rig.workers(1) as (worker,):
        await rig.publish(units[:50])
        await rig.inbox.accepts(50)
        files = _files(worker)
        turn(rig, Endpoint.ASSETS, script=[500, 400, "close"] * 5)
        turn(rig, Endpoint.REVERSE, script=[500, "close"] * 10)
        turn(rig, Endpoint.INTEL_REQUESTS, script=[400, 500] * 5)
        await rig.publish(units[50:])
        await rig.account()
        apis = (await worker.get("/status")).json()["apis"]
        grown = _files(worker) - files
    assert {name: (it["in_flight"], it["waiting"]) for name, it in apis.items()} == dict.fromkeys(apis, (0, 0))
    record(figure=f"{grown:+} files open after")
    assert grown <= 10


def _files(worker: Worker) -> int:
    return len(list(Path(f"/proc/{worker.process.pid}/fd").iterdir()))


# --- what recipients are owed -------------------------------------------------------------------------------------


@row(58, "four processes share one limit of 50 a second", quick=False)
async def test_processes_that_contend_for_one_limit_use_it_up_and_never_more(rig: Rig) -> None:
    rate, burst, count = 50, 10, 1000
    limit = {"NS_THROTTLE_WEBHOOK": f"{60 * rate}/minute burst {burst}", "NS_ORGANIZATION_SHARE": "1"}
    async with rig.workers(4, **limit, NS_CONCURRENCY="50"):
        await rig.publish(rig.units(count))
        await rig.account(within=90)
    let_go = await began(rig)
    used = (count - burst) / (rate * (let_go[-1] - let_go[0]))
    record(figure=f"{100 * used:.0f} % used, {fullest(let_go, 1.0)} in the fullest second")
    for window in (1.0, 10.0):
        assert fullest(let_go, window) <= burst + rate * (window + patient(0.25))
    # What arrives within ten seconds was let go within ten and the longest way, new connections and all.
    arrived = sorted(post.arrived for post in rig.inbox.webhooks)
    ways = [arrival - start for start, arrival in zip(let_go, arrived, strict=True)]
    # The ledger tells whole milliseconds, and a way may take less than half of one.
    assert -0.001 <= min(ways) <= max(ways) < patient(1.0)
    assert fullest(arrived, 10.0) <= burst + rate * (10 + patient(0.25) + max(ways))
    assert used >= 0.95


async def began(rig: Rig) -> list[float]:
    """When each attempt was let go, as the ledger tells."""
    stories = await rig.ask("KEYS", f"{rig.prefix}:1:*:notification:*:story")
    told = [map(orjson.loads, await rig.ask("LRANGE", story, "0", "-1")) for story in stories]
    return sorted(next(it["at"] for it in events if it["step"] == "send") for events in told)


def fullest(times: list[float], window: float) -> int:
    """How many lie in the fullest window of so many seconds."""
    return max(bisect_left(times, start + window) - place for place, start in enumerate(times))
