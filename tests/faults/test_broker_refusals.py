"""What no waiting mends: who we say we are, what is there already, who the broker says it is. It is said, and over."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import aio_pika
import pytest

from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.ports.broker import Lane
from tests.e2e.command import command
from tests.faults.rig import Rig
from tests.faults.rows import record, row
from tests.services.certificates import Certificate, certificate, expired
from tests.services.listening import serving
from tests.services.program import HOST

CONFIGURATION = 78


@pytest.mark.parametrize(
    ("written", "wrong", "why"),
    [
        pytest.param(
            "guest:guest",
            "guest:no",
            "user or the password",
            id="wrong password",
            marks=row(15, "wrong password", quick=False),
        ),
        pytest.param(
            "guest:guest",
            "nobody:guest",
            "user or the password",
            id="no such user",
            marks=row(15, "no such user", quick=False),
        ),
        pytest.param(
            "/",
            "/nowhere",
            "virtual host 'nowhere'",
            id="no such virtual host",
            marks=row(15, "no such virtual host", quick=False),
        ),
    ],
)
async def test_a_broker_that_refuses_us_ends_the_worker_with_the_reason(
    rig: Rig, written: str, wrong: str, why: str
) -> None:
    head, _, tail = rig.rabbitmq.url.rpartition(written)
    await refuses(rig, why, NS_AMQP_URL=head + wrong + tail)


@row(15, "a queue with other arguments", quick=False)
async def test_a_queue_that_differs_ends_the_worker_with_what_to_do(rig: Rig) -> None:
    name = Topology(rig.prefix).queue(Lane.UNITS)
    async with await aio_pika.connect(rig.rabbitmq.url) as connection, connection.channel() as channel:
        await channel.declare_queue(name, durable=True)
    await refuses(rig, f"rabbitmqctl delete_queue {name}")


def of_another_name(folder: Path) -> Certificate:
    return certificate(folder, "DNS:broker.example")


def good(folder: Path) -> Certificate:
    return certificate(folder, f"IP:{HOST}")


def of_2020(folder: Path) -> Certificate:
    return expired(folder, f"IP:{HOST}")


@pytest.mark.parametrize(
    ("kind", "trusted", "why"),
    [
        pytest.param(of_2020, True, "expired", id="expired", marks=row(16, "TLS: an expired certificate", quick=False)),
        pytest.param(
            of_another_name, True, "mismatch", id="wrong name", marks=row(16, "TLS: a wrong name", quick=False)
        ),
        pytest.param(
            good,
            False,
            "self-signed",
            id="unknown authority",
            marks=row(16, "TLS: an authority that nobody trusts", quick=False),
        ),
    ],
)
async def test_a_broker_that_proves_nothing_is_told_nothing(
    rig: Rig, tmp_path: Path, kind: Callable[[Path], Certificate], why: str, *, trusted: bool
) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(8))
        writer.close()

    made = kind(tmp_path / "tls")
    async with serving(listen, tls=made.serving()) as server:
        url = f"amqps://guest:guest@{HOST}:{server.sockets[0].getsockname()[1]}/"
        await refuses(rig, why, NS_AMQP_URL=f"{url}?cafile={made.certificate}" if trusted else url)
    assert heard == []


@row(16, "TLS: a certificate that is trusted", quick=False)
async def test_a_broker_that_proves_who_it_is_is_worked_with(rig: Rig) -> None:
    async with rig.workers(1, NS_AMQP_URL=rig.rabbitmq.tls_url):
        await rig.publish(rig.units(50))
        await rig.account()


async def refuses(rig: Rig, why: str, **variables: str) -> None:
    """A worker with these ends by itself, and says ``why``."""
    begun = time.monotonic()
    ended = await command(rig.environment | variables, "run")
    seconds, lines = time.monotonic() - begun, (ended.out + ended.err).splitlines()
    record(figure=f"exit {ended.code} after {seconds:.1f} s, {len(lines)} lines")
    assert ended.code == CONFIGURATION
    assert why in ended.err
    assert len(lines) <= 10
