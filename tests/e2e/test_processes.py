"""Several worker processes under one parent, as an operator meets them."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import Ended, command
from tests.e2e.fleet import Worker, fleet
from tests.e2e.holding import hold
from tests.patience import option, patience

Make = Callable[..., dict[str, Any]]
TWO = {"NS_PROCESSES": "2", "NS_CONCURRENCY": "4", "NS_ORGANIZATION_SHARE": "1", "NS_DESTINATION_SHARE": "1"}
"""Eight slots in all, which fill whoever the units are of."""

MADE = list[dict[str, Any]]


@asynccontextmanager
async def two_processes(environment: Mapping[str, str]) -> AsyncIterator[Worker]:
    # Receivers hold their answers while a test does several things: no send may end meanwhile.
    patient = {"NS_SEND_TIMEOUT": option(15), "NS_LEASE": option(30), "NS_GRACE": option(25)}
    async with fleet(environment | TWO | patient) as (parent,):
        for process in (1, 2):
            await parent.says("worker.ready", process=process)
        yield parent


async def pid_of(parent: Worker, process: int) -> int:
    return int((await parent.says("process.started", process=process))["pid"])


@pytest.fixture
def units(unit: Make, hook: Make) -> Callable[[int], MADE]:
    return lambda count: [unit(destinations=[hook(f"to-{number}")]) for number in range(count)]


@dataclass(frozen=True)
class Busy:
    """Two processes with eight of twenty units in hand, until their receivers are ``released``."""

    sandbox: Sandbox
    broker: Broker
    units: MADE

    @asynccontextmanager
    async def of(self, environment: Mapping[str, str]) -> AsyncIterator[tuple[Worker, asyncio.Event]]:
        released = hold(self.sandbox.inbox)
        async with two_processes(environment) as parent:
            await self.broker.publish(self.units)
            async with patience(30):
                await self.sandbox.inbox.receives(8)
            yield parent, released


@pytest.fixture
def busy(sandbox: Sandbox, broker: Broker, units: Callable[[int], MADE]) -> Busy:
    return Busy(sandbox, broker, units(20))


async def test_a_killed_worker_is_started_again_and_nothing_is_lost(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, busy: Busy
) -> None:
    async with busy.of(hasty) as (parent, released):
        os.kill(await pid_of(parent, 1), signal.SIGKILL)
        ended = await parent.says("process.ended", process=1)
        await parent.becomes(503)
        released.set()
        await parent.says("worker.ready", times=2, process=1)
        await parent.becomes(200)
        async with patience(60):
            await sandbox.inbox.accepts(20)
        metrics = (await parent.get("/metrics")).text
        assert await parent.stop() == 0
    assert (ended["end"], ended["restart_in"]) == ("SIGKILL", 1.0)
    assert 'notification_sender_process_starts_total{process="1"} 2' in metrics
    assert 'notification_sender_process_starts_total{process="2"} 1' in metrics
    await broker.holds("units", 0)
    assert await broker.depth("dead") == 0


async def test_a_stop_of_all_processes_at_once_lets_each_finish_what_it_has_in_hand(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, busy: Busy
) -> None:
    """As a service manager does that signals every process of a service."""
    async with busy.of(environment) as (parent, released):
        for pid in (await pid_of(parent, 1), await pid_of(parent, 2), parent.process.pid):
            os.kill(pid, signal.SIGTERM)
        await parent.becomes(503)
        released.set()
        assert await parent.ended() == 0
    for process in (1, 2):
        await parent.says("worker.stopped", process=process)
    assert not [it for it in parent.events if it["event"] == "worker.stop_forced"]
    assert (len(sandbox.inbox.accepted), sandbox.inbox.duplicates) == (8, 0)
    await broker.holds("units", 12)


async def test_a_second_signal_cuts_all_of_them_off(environment: dict[str, str], broker: Broker, busy: Busy) -> None:
    async with busy.of(environment) as (parent, _):
        parent.process.send_signal(signal.SIGTERM)
        parent.process.send_signal(signal.SIGINT)
        assert await parent.ended() == 0
    for process in (1, 2):
        await parent.says("worker.stop_forced", process=process)
    await broker.holds("units", 20)


async def test_workers_whose_parent_is_killed_finish_what_they_have_in_hand_and_end(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, busy: Busy
) -> None:
    async with busy.of(environment) as (parent, released):
        parent.kill()
        # Both have stopped to take more: with what they had in hand the rest is in the queue again.
        await broker.holds("units", 12)
        released.set()
        await parent.ended()  # the workers write to the same pipe, and hold it open until they end
    for process in (1, 2):
        await parent.says("worker.stopped", process=process)
    assert (len(sandbox.inbox.accepted), sandbox.inbox.duplicates) == (8, 0)


async def test_one_health_port_speaks_for_all(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, units: Callable[[int], MADE]
) -> None:
    async with two_processes(environment) as parent:
        await parent.becomes(200)
        assert len([it for it in parent.events if it["event"] == "health.listening"]) == 1
        await broker.publish(units(20))
        async with patience(30):
            await sandbox.inbox.accepts(20)
        assert (await parent.get("/livez")).json() == {"live": True}
        one = {"ready": True, "rabbitmq": True, "redis": True, "consuming": True}
        assert (await parent.get("/readyz")).json() == one | {"processes": {"1": one, "2": one}}
        async with patience(20):
            while (status := (await parent.get("/status")).json())["unsettled"]:  # noqa: ASYNC110 - it can only be asked
                await asyncio.sleep(0.05)
        assert status["processes"]["2"]["pid"] == await pid_of(parent, 2)
        assert (status["ready"], status["in_hand"]) == (True, 0)
        metrics = (await parent.get("/metrics")).text
        assert (await parent.get("/facts")).status_code == 404
    families = {it.name: it.samples for it in text_string_to_metric_families(metrics)}
    outcomes = [it for it in families["notification_sender_outcomes"] if it.name.endswith("_total")]
    delivered = [it for it in outcomes if (it.labels["what"], it.labels["outcome"]) == ("notification", "delivered")]
    assert sum(it.value for it in delivered) == 20
    assert {it.labels["process"] for it in families["process_resident_memory_bytes"]} == {"1", "2"}
    assert [it.value for it in families["notification_sender_process_up"]] == [1, 1]


def plain(ended: Ended) -> str:
    """What it wrote that is no line of the log."""
    return "".join(line for line in ended.err.splitlines(keepends=True) if not line.startswith("{"))


@pytest.mark.parametrize(
    "fault",
    [
        {"NS_AMQP_URL": "nonsense", "NS_CONCURENCY": "7"},
        {"NS_TEMPLATES_DIR": "/proc/self/fd"},
        {"NS_AMQP_URL": "memory://", "NS_REDIS_URL": "memory://", "NS_ENVIRONMENT": "development"},
        {"NS_HTTP_HOST": "192.0.2.1"},
    ],
    ids=["options", "templates", "memory", "port"],
)
async def test_a_fault_of_the_configuration_ends_all_as_it_ends_one(
    environment: dict[str, str], fault: dict[str, str]
) -> None:
    several = await command(environment | fault, "run", "--processes", "2")
    assert several.code == 78
    if "NS_REDIS_URL" in fault:  # one process may have it
        assert plain(several).splitlines()[1] == (
            "  NS_PROCESSES: memory:// belongs to one process; several need RabbitMQ and Redis"
        )
    else:
        assert plain(several) == plain(await command(environment | fault, "run"))
    assert several.err.count("process.started") == 1


@pytest.mark.parametrize("number", ["0", "65", "many", "-1", "1.5", "²"])
async def test_a_number_of_processes_that_is_none_is_refused(environment: dict[str, str], number: str) -> None:
    ended = await command(environment | {"NS_PROCESSES": number}, "run")
    assert ended.code == 78
    assert f"NS_PROCESSES: '{number}' is not a number from 1 to 64, nor auto" in ended.err
    assert (await command(environment, "run", f"--processes={number}")).code == 2


HOLDING = """\
import os

from notification_sender.recipes.authoring import Recipe

holding = Recipe("holding", subject=lambda unit: "fact")


@holding.fetched(name="fact", ttl="1s")
async def ponder(unit):
    while not os.path.exists(os.environ["ENOUGH"]):
        pass
    return "it is over"
"""


@pytest.fixture
def holding(tmp_path: Path) -> dict[str, str]:
    """The variables of a worker with a recipe that holds its loop until there is a file."""
    for name, text in {
        "site/holding.py": HOLDING,
        "site/holding-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: holding\nVersion: 1.0\n",
        "site/holding-1.0.dist-info/entry_points.txt": "[notification_sender.recipes]\nholding = holding:holding\n",
        "templates/holding/webhook.json.j2": '{"fact": {{ fact | tojson }}}\n',
        "templates/holding/email.none": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    shutil.copytree(Path(__file__).parents[2] / "templates" / "intel", tmp_path / "templates" / "intel")
    variables = {"PYTHONPATH": "site", "NS_TEMPLATES_DIR": "templates", "ENOUGH": "enough"}
    return {name: str(tmp_path / place) for name, place in variables.items()}


def let_go(variables: dict[str, str]) -> None:
    Path(variables["ENOUGH"]).touch()


@pytest.mark.stalls
async def test_a_worker_whose_loop_is_held_for_longer_than_allowed_is_killed_and_its_unit_goes_on(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, units: Callable[[int], MADE], holding: dict[str, str]
) -> None:
    [held] = units(1)
    held["destinations"][0]["template"] = "holding"
    async with fleet(hasty | TWO | holding | {"NS_LIVENESS": "5s"}) as (parent,):
        await parent.says("worker.ready", process=2)
        await broker.publish([held | {"kind": "holding", "occurred_at": "2026-03-06T08:26:00Z"}])
        stuck = await parent.says("process.stuck")
        let_go(holding)
        assert (await parent.says("process.ended", process=stuck["process"]))["end"] == "SIGKILL"
        async with patience(90):
            await sandbox.inbox.receives(1)
        assert (await parent.get("/livez")).status_code == 200
