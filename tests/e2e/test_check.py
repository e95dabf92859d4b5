"""``check`` as an operator types it, where something is wrong: what is said, how soon, and that nothing is changed."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aio_pika
import pytest

from notification_sender.adapters.rabbitmq.topology import Topology
from tests.e2e.command import Ended, command
from tests.e2e.fleet import fleet
from tests.patience import patience, patient
from tests.services.listening import serving
from tests.services.program import free_port
from tests.services.rabbitmq import RabbitMQ


def faults(checked: Ended) -> dict[str, str]:
    """What was said, by what it was said of."""
    lines = [re.split(" {2,}", line, maxsplit=2) for line in checked.out.splitlines()]
    return {name: detail for word, name, detail in lines if word == "FAULT"}


def said(checked: Ended, name: str) -> str:
    return next(line for line in checked.out.splitlines() if line.split()[1] == name)


async def left(amqp_url: str, prefix: str) -> set[str]:
    """Which of the queues that publishers and operators know are there."""
    topology, found = Topology(prefix), set()
    async with await aio_pika.connect(amqp_url) as connection:
        for name in (f"{prefix}.units", topology.dead, topology.unroutable, topology.rung(0)):
            channel = await connection.channel()
            try:
                await channel.declare_queue(name, passive=True)
            except aio_pika.exceptions.ChannelNotFoundEntity:
                continue
            found.add(name)
    return found


@asynccontextmanager
async def silent() -> AsyncIterator[int]:
    """A port that takes connections, and then says nothing."""
    over = asyncio.Event()

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with serving(take) as server:
        yield server.sockets[0].getsockname()[1]
        over.set()


async def test_it_declares_nothing_and_says_what_would(
    environment: dict[str, str], amqp_url: str, topology_prefix: str
) -> None:
    fresh = await command(environment, "check")
    assert await left(amqp_url, topology_prefix) == set()
    assert fresh.code == 0
    assert "notification-sender topology" in said(fresh, "rabbitmq")
    await command(environment, "topology")
    assert "missing: " not in said(await command(environment, "check"), "rabbitmq")
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        await channel.queue_delete(f"{topology_prefix}.dead")
    lacking = await command(environment, "check")
    assert f"missing: queue {topology_prefix}.dead; run" in said(lacking, "rabbitmq")
    assert f"{topology_prefix}.dead" not in await left(amqp_url, topology_prefix)


async def test_a_user_who_may_not_configure_is_no_fault_while_all_is_there(
    environment: dict[str, str], rabbitmq: RabbitMQ, topology_prefix: str
) -> None:
    await command(environment, "topology")
    for step in (("add_user", topology_prefix, "secret"), ("set_permissions", topology_prefix, "^$", ".*", ".*")):
        await asyncio.to_thread(rabbitmq.ctl, *step)
    bound = environment | {"NS_AMQP_URL": rabbitmq.url.replace("guest:guest", f"{topology_prefix}:secret")}
    assert faults(await command(bound, "check")) == {}
    async with await aio_pika.connect(rabbitmq.url) as connection, connection.channel() as channel:
        await channel.queue_delete(f"{topology_prefix}.dead")
    lacking = await command(bound, "check")
    assert lacking.code == 1
    assert f"queue {topology_prefix}.dead" in faults(lacking)["rabbitmq"]
    assert "notification-sender topology" in faults(lacking)["rabbitmq"]


async def test_whatever_hangs_is_named_and_keeps_nobody_waiting(environment: dict[str, str]) -> None:
    """Also a nameserver: its thread would keep the command until the system gives up."""
    async with AsyncExitStack() as opened:
        amqp, redis, aaa, mail = [await opened.enter_async_context(silent()) for _ in range(4)]
        hanging = environment | {
            "NS_AMQP_URL": f"amqp://guest:guest@127.0.0.1:{amqp}/",
            "NS_REDIS_URL": f"redis://127.0.0.1:{redis}/0",
            "NS_AAA_URL": f"http://127.0.0.1:{aaa}",
            "NS_SMTP_URL": f"smtp://127.0.0.1:{mail}?starttls=none",
            "NS_INCIDENTS_URL": "http://incidents.hangs",
            "NS_ASSETS_URL": "https://assets.hangs",
        }
        async with patience(9):
            checked = await command(hanging, "check", "--organization", "acme")
    told = faults(checked)
    assert checked.code == 1
    assert told.keys() == {"rabbitmq", "redis", "aaa", "smtp", "incidents", "assets", "organization acme"}
    expected = {"rabbitmq": amqp, "redis": redis, "aaa": aaa, "smtp": mail}
    assert all(f"127.0.0.1:{port} (NS_" in told[name] for name, port in expected.items())
    assert all(f"{name}.hangs:" in told[name] and "name servers" in told[name] for name in ("incidents", "assets"))


@pytest.mark.parametrize("line", ["audit --batch b", "destinations list", "topology"])
async def test_a_name_that_nobody_answers_for_keeps_no_command(environment: dict[str, str], line: str) -> None:
    nowhere = {"NS_REDIS_URL": "redis://redis.hangs/0", "NS_AMQP_URL": "amqp://guest:guest@rabbit.hangs/"}
    async with patience(9):
        ended = await command(environment | nowhere, *line.split())
    assert ended.code == 1
    assert ".hangs:" in ended.err
    assert "name servers" in ended.err


REFUSED = {
    "a name that nobody knows": (
        "redis",
        "NS_REDIS_URL",
        "redis://redis.invalid/0",
        "redis.invalid:6379",
        "does not exist",
    ),
    "a port that nobody has": ("incidents", "NS_INCIDENTS_URL", "http://127.0.0.1:{port}", "127.0.0.1", "refuses"),
    "a login": (
        "rabbitmq",
        "NS_AMQP_URL",
        "amqp://nobody:guest@{amqp}/",
        "127.0.0.1",
        "refuses the user or the password",
    ),
    "a virtual host": (
        "rabbitmq",
        "NS_AMQP_URL",
        "amqp://guest:guest@{amqp}/other",
        "127.0.0.1",
        "virtual host 'other'",
    ),
    "a port without tls": ("assets", "NS_ASSETS_URL", "https://{amqp}", "127.0.0.1", "TLS"),
    "a mail server without tls": ("smtp", "NS_SMTP_URL", "smtps://{amqp}", "127.0.0.1", "TLS"),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_what_is_refused_is_said_with_host_and_variable(
    environment: dict[str, str], amqp_url: str, redis_server: str, kind: str
) -> None:
    name, variable, url, host, words = REFUSED[kind]
    services = {"amqp": amqp_url.split("@")[1].strip("/"), "redis": redis_server.split("/")[2]}
    checked = await command(environment | {variable: url.format(port=free_port(), **services)}, "check")
    assert checked.code == 1
    assert faults(checked).keys() == {name}
    detail = faults(checked)[name]
    assert all(it in detail for it in (variable, host, words)), detail
    assert checked.err == ""


async def test_a_folder_without_a_kind_is_a_fault(environment: dict[str, str], tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    (templates / "brief").mkdir(parents=True)
    (templates / "brief" / "webhook.json.j2").write_text("{}")
    checked = await command(environment | {"NS_TEMPLATES_DIR": str(templates)}, "check")
    assert checked.code == 1
    assert "kind 'intel'" in faults(checked)["templates"]


async def test_a_kind_that_lacks_a_channel_is_refused_unless_it_is_left_out_on_purpose(
    environment: dict[str, str], tmp_path: Path
) -> None:
    kind = tmp_path / "templates" / "intel"
    kind.mkdir(parents=True)
    (kind / "webhook.json.j2").write_text("{}")
    environment |= {"NS_TEMPLATES_DIR": str(kind.parent)}
    lacking = f"kind 'intel' has no template for email: make {'intel/email.subject.j2 and intel/email.html.j2'}"
    checked, ran = await asyncio.gather(command(environment, "check"), command(environment, "run"))
    assert (checked.code, ran.code) == (1, 78)
    assert lacking in faults(checked)["templates"]
    assert lacking in ran.err
    (kind / "email.none").touch()
    checked = await command(environment, "check")
    assert checked.code == 0
    assert "left out on purpose: intel/email" in said(checked, "templates")
    async with fleet(environment) as (worker,):
        await worker.says("template.left_out", templates=["intel/email"])


async def test_a_healthy_store_that_is_far_away_is_not_called_away(
    environment: dict[str, str], redis_server: str
) -> None:
    """Round trips of half a second are no reason to try anew: they would never be through."""
    host, port = redis_server.split("/")[2].split(":")
    async with far(host, int(port), patient(0.5)) as there:
        distant = environment | {"NS_REDIS_URL": f"redis://127.0.0.1:{there}/0"}
        commands = [("check",), ("audit", "--batch", "b"), ("destinations", "list")]
        ended = await asyncio.gather(*(command(distant, *it) for it in commands))
    assert [it.code for it in ended] == [0, 1, 0]
    assert not any("redis.unreachable" in it.err for it in ended)


@asynccontextmanager
async def far(host: str, port: int, delay: float) -> AsyncIterator[int]:
    """A port behind which a service is so many seconds away: every answer comes that much later."""
    over: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
        try:
            while part := await reader.read(65536):
                await asyncio.sleep(seconds)
                writer.write(part)
        finally:
            writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to = await asyncio.open_connection(host, port)
        over.update({asyncio.create_task(carry(reader, to, 0.0)), asyncio.create_task(carry(behind, writer, delay))})

    async with serving(take) as server:
        yield server.sockets[0].getsockname()[1]
        for task in over:
            task.cancel()


async def test_a_queue_with_other_arguments_and_a_fleet_beyond_its_pools_are_faults(
    environment: dict[str, str], amqp_url: str, topology_prefix: str
) -> None:
    await command(environment, "topology")
    assert faults(await command(environment, "check", "--pods", "2")) == {}
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(f"{topology_prefix}.units")
        await channel.declare_queue(f"{topology_prefix}.units", durable=True)
    beyond = environment | {"NS_INCIDENTS_BUDGET": "1"}
    checked = await command(beyond, "check", "--pods", "2", "--pool", "assets=10")
    found = faults(checked)
    assert checked.code == 1
    assert found.keys() == {"rabbitmq", "budget incidents", "budget assets"}
    assert f"queue {topology_prefix}.units: PRECONDITION_FAILED" in found["rabbitmq"]
    assert "set NS_ASSETS_BUDGET=10 or less" in found["budget assets"]
    assert (await command(environment, "check", "--pool", "assests=10")).code == 78
