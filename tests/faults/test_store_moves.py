"""Redis moves: to a server that is behind, that loads, whose clock is wrong, that is a cluster, or lets nobody in."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.e2e.command import command
from tests.faults import resp
from tests.faults.proxy import Proxy
from tests.faults.rig import Rig
from tests.faults.rows import record, row
from tests.faults.test_apis import ABOUT_INCIDENTS, about, sandbox, turn
from tests.patience import patience, patient
from tests.services.certificates import certificate
from tests.services.listening import serving
from tests.services.program import HOST, free_port
from tests.services.redis import Redis as Server
from tests.services.redis import running_redis

__all__ = ["sandbox"]

BEHIND = 0.5
"""Seconds."""

SETTLING = 0.2
"""Seconds from an acceptance until its record is written, on a busy machine."""


def at(rig: Rig, store: Proxy) -> dict[str, str]:
    """The variable of a worker that reaches its store through this proxy."""
    return {"NS_REDIS_URL": rig.environment["NS_REDIS_URL"].replace(f":{rig.redis.port}/", f":{store.port}/")}


async def says(told: Callable[[], Awaitable[Any]], name: str, value: str) -> None:
    """Wait until a server says this of itself."""
    async with patience(20):
        while (await told())[name] != value:  # noqa: ASYNC110 - it cannot be awaited, only asked
            await asyncio.sleep(0.05)


# --- another server, by the same name -----------------------------------------------------------------------------


@asynccontextmanager
async def followed(rig: Rig, primary: Server) -> AsyncIterator[None]:
    """The store of the rig is a replica, and so far behind; in the end on its own."""
    async with Proxy(primary.port) as line:
        line.latency = BEHIND
        await rig.ask("REPLICAOF", HOST, str(line.port))
        try:
            await says(lambda: rig.ask("INFO", "replication"), "master_link_status", "up")
            yield
        finally:
            await rig.ask("REPLICAOF", "NO", "ONE")


@row(20, "failover to a replica that is half a second behind", quick=False)
async def test_what_a_failover_forgets_is_sent_once_more_at_most_and_nothing_is_stuck(rig: Rig) -> None:
    units = rig.units(400, latency=0.05)
    with running_redis(**{"repl-diskless-sync-delay": "0"}) as primary:
        async with (
            Proxy(primary.port, resp.Redis) as store,
            followed(rig, primary),
            rig.workers(2, NS_CONCURRENCY="8", **at(rig, store)),
        ):
            publishing = asyncio.create_task(rig.publish(units))
            async with patience(30):
                await rig.inbox.accepts(150)
            primary.kill()
            known_until = time.time() - BEHIND - SETTLING
            store.target = rig.redis.port
            await rig.ask("REPLICAOF", "NO", "ONE")
            since = time.time()
            await publishing
            # So that all that was forgotten is asked for once more.
            await rig.publish(units)
            forgotten = sum(known_until < post.arrived < since for post in rig.inbox.webhooks)
            figures = await rig.account(since=since, duplicates=forgotten, copies=2, sends=2)
    record(figure=f"{figures.duplicates} of {forgotten} that may have been forgotten came twice")
    assert figures.recovery <= patient(5)


@pytest.mark.parametrize("seconds", [600, -600], ids=["ahead", "behind"])
@row(28, "the clock is ten minutes off after a failover", quick=False)
async def test_a_store_whose_clock_jumps_holds_nobody_up_and_lets_nobody_past_a_limit(rig: Rig, seconds: int) -> None:
    rate, burst = 50, 10
    async with Proxy(rig.redis.port, resp.Redis) as store:
        limited = {"NS_THROTTLE_WEBHOOK": f"{60 * rate}/minute burst {burst}", "NS_CONCURRENCY": "8"}
        async with rig.workers(2, **limited, **at(rig, store)):
            publishing = asyncio.create_task(rig.publish(rig.units(400)))
            async with patience(30):
                await rig.inbox.accepts(100)
            resp.ahead(store, seconds)
            store.reset()
            since = time.time()
            await publishing
            await rig.publish(rig.units(200, script=[503]))
            figures = await rig.account(since=since, sends=2)
    record(figure=f"{figures.recovery:.1f} s, {rig.most_within(1.0)} in the fullest second")
    assert figures.recovery <= patient(2)
    assert rig.most_within(1.0) <= 2 * burst + rate * (1 + patient(0.5))


@row(26, "LOADING: it has just been started", quick=False)
async def test_a_store_that_is_still_loading_is_waited_for(rig: Rig) -> None:
    await _refused(rig, "LOADING Redis is loading the dataset in memory")


@row(26, "MOVED, to somewhere else and back", quick=False)
async def test_a_store_that_says_that_it_is_elsewhere_is_waited_for(rig: Rig) -> None:
    await _refused(rig, "MOVED 3999 127.0.0.1:6381")


async def _refused(rig: Rig, why: str) -> None:
    async with Proxy(rig.redis.port, resp.Redis) as store:

        async def refuse() -> None:
            over = resp.refusing(store, why)
            store.reset()
            await asyncio.gather(*(it.becomes(503) for it in rig.living))
            await rig.publish(rig.units(10))
            over()

        rig.environment |= at(rig, store)
        figures = await rig.under_load(refuse)
    assert figures.recovery <= patient(5)


# --- slow and empty -----------------------------------------------------------------------------------------------


@row(27, "every answer is 50 ms late, and it has forgotten everything", quick=False)
async def test_a_store_that_is_slow_and_empty_lets_no_more_calls_out_than_the_budget(rig: Rig) -> None:
    budget = 10
    turn(rig, *ABOUT_INCIDENTS, latency=0.1)
    async with (
        Proxy(rig.redis.port, resp.Redis) as store,
        rig.workers(3, NS_INCIDENTS_BUDGET=str(budget), **at(rig, store)),
    ):
        await rig.publish(about(rig, range(100)))
        async with patience(30):
            await rig.inbox.accepts(100)
        store.latency = 0.025
        await asyncio.to_thread(rig.redis.flush)
        await rig.publish(about(rig, range(400)))
        await rig.account(since=time.time(), remembered=False)
    peak = rig.sandbox.platform.peaks["incidents"]
    record(figure=f"{peak} of {budget} calls at most at once")
    assert peak <= budget


# --- who does not let us in ---------------------------------------------------------------------------------------


@asynccontextmanager
async def with_another_password(rig: Rig, _: Path) -> AsyncIterator[str]:
    await rig.ask("ACL", "SETUSER", "worker", "on", ">right", "~*", "&*", "+@all")
    try:
        yield f"redis://worker:wrong@{HOST}:{rig.redis.port}/0"
    finally:
        await rig.ask("ACL", "DELUSER", "worker")


@asynccontextmanager
async def without_scripts(rig: Rig, _: Path) -> AsyncIterator[str]:
    await rig.ask("ACL", "SETUSER", "worker", "on", ">right", "~*", "&*", "+@all", "-@scripting")
    try:
        yield f"redis://worker:right@{HOST}:{rig.redis.port}/0"
    finally:
        await rig.ask("ACL", "DELUSER", "worker")


@asynccontextmanager
async def by_nobody_we_trust(_: Rig, folder: Path) -> AsyncIterator[str]:
    made = certificate(folder / "tls", f"IP:{HOST}")
    async with serving(_hangs_up, tls=made.serving()) as server:
        yield f"rediss://{HOST}:{server.sockets[0].getsockname()[1]}/0"


async def _hangs_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@asynccontextmanager
async def of_many_nodes(_: Rig, __: Path) -> AsyncIterator[str]:
    """A cluster of two: each has half of the keys."""
    # Ports of our own for the bus: the default, 10,000 above, may be the end of somebody's connection.
    buses = [free_port(), free_port()]
    first_of, second_of = ({"cluster-enabled": "yes", "cluster-port": str(bus)} for bus in buses)
    with running_redis(**first_of) as one, running_redis(**second_of) as other:
        async with Redis.from_url(one.url) as first, Redis.from_url(other.url) as second:
            await first.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
            await second.execute_command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
            await first.execute_command("CLUSTER", "MEET", HOST, other.port, buses[1])
            await says(lambda: first.execute_command("CLUSTER INFO"), "cluster_size", "2")
        yield one.url


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        pytest.param(with_another_password, "user or the password", marks=row(29, "NOAUTH: another password")),
        pytest.param(without_scripts, "does not let the user", marks=row(29, "a wrong ACL", quick=False)),
        pytest.param(by_nobody_we_trust, "not trusted", marks=row(29, "TLS: a certificate of nobody", quick=False)),
        pytest.param(of_many_nodes, "a cluster", marks=row(26, "MOVED, CROSSSLOT: it is a cluster", quick=False)),
    ],
)
async def test_a_store_that_is_of_no_use_ends_the_worker_with_a_clear_line(
    rig: Rig, tmp_path: Path, kind: Callable[[Rig, Path], Any], why: str
) -> None:
    async with kind(rig, tmp_path) as url:
        ended = await command(rig.environment | {"NS_REDIS_URL": url}, "run")
    assert ended.code == 78
    assert why in ended.out + ended.err
    assert "right" not in ended.out + ended.err
