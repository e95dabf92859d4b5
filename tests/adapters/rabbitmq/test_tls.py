"""TLS to a real RabbitMQ: who is refused and what is said, client certificates, and certificates that change."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.connection import BrokerConnection
from notification_sender.adapters.tls import Tls, TlsFile, TlsOptions
from notification_sender.model.errors import ConfigurationFault
from tests.faults.rows import row
from tests.patience import patience
from tests.services.certificates import Certificate, certificate, issued
from tests.services.program import HOST, free_port
from tests.services.rabbitmq import RabbitMQ
from tests.services.tls_servers import REFUSED

CLOSE_ALL = '[rabbit_networking:close_connection(It, "renewed") || It <- rabbit_networking:connections_local()].'


CLOSE_ALL = '[rabbit_networking:close_connection(It, "renewed") || It <- rabbit_networking:connections_local()].'


def address(port: int, ca: Path | None, own: Certificate | None = None) -> BrokerAddress:
    return BrokerAddress(
        f"amqps://guest:guest@{HOST}:{port}/",
        Tls(
            TlsOptions(
                "RabbitMQ",
                "NS_AMQP",
                ca=ca and TlsFile(ca, "NS_AMQP_CA"),
                certificate=own and TlsFile(own.certificate, "NS_AMQP_CERT"),
                key=own and TlsFile(own.key, "NS_AMQP_KEY"),
            )
        ),
    )


@asynccontextmanager
async def connected(to: BrokerAddress) -> AsyncIterator[BrokerConnection]:
    link = BrokerConnection(address=to, purpose="test", clock=SystemClock())
    await link.open()
    try:
        yield link
    finally:
        await link.close()


@row(16, "TLS: refused by each kind of fault, on a real RabbitMQ")
@pytest.mark.parametrize("kind", REFUSED)
async def test_a_server_that_cannot_be_trusted_is_refused_at_once_with_what_to_do(
    rabbitmq: RabbitMQ, tmp_path: Path, kind: str
) -> None:
    refused = REFUSED[kind]
    made = refused.shows(tmp_path / "tls")
    demands = made.certificate if refused.demands else None
    port = rabbitmq.listen_with_tls(made, demands=demands, versions="'tlsv1.1'" if refused.old else "")
    with pytest.raises(ConfigurationFault) as fault:
        async with connected(address(port, made.certificate if refused.trusted else None)):
            pass
    assert str(fault.value).startswith(f"{HOST}:{port} (NS_AMQP_URL): ")
    assert "\n" not in str(fault.value)
    assert all(it in str(fault.value) for it in refused.says), fault.value


async def test_a_port_without_tls_is_named(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    made = certificate(tmp_path / "tls", f"IP:{HOST}")
    with pytest.raises(ConfigurationFault, match="whether this port speaks TLS"):
        async with connected(address(rabbitmq.port, made.certificate)):
            pass


async def test_a_client_certificate_is_accepted_and_one_of_nobody_is_refused(
    rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    authority = certificate(tmp_path / "authority", "DNS:authority")
    shown, own = (issued(tmp_path / name, authority, f"IP:{HOST}") for name in ("server", "worker"))
    stranger = certificate(tmp_path / "stranger", "DNS:worker")
    port = rabbitmq.listen_with_tls(shown, demands=authority.certificate)
    async with connected(address(port, authority.certificate, own)) as link:
        assert link.is_open
    with pytest.raises(ConfigurationFault, match=r"refuses our certificate .*NS_AMQP_CERT and NS_AMQP_KEY"):
        async with connected(address(port, authority.certificate, stranger)):
            pass


async def test_a_renewed_authority_is_read_when_the_connection_is_opened_again(
    rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    old, new = (certificate(tmp_path / name, f"IP:{HOST}") for name in ("old", "new"))
    ca = tmp_path / "ca.pem"
    ca.write_bytes(old.certificate.read_bytes())
    port = rabbitmq.listen_with_tls(old)
    with structlog.testing.capture_logs() as logged:
        async with connected(address(port, ca)) as link, patience(60):
            # The certificate of the server is replaced on its disk: Erlang reads it at the next handshake.
            old.certificate.write_bytes(new.certificate.read_bytes())
            old.key.write_bytes(new.key.read_bytes())
            await asyncio.to_thread(rabbitmq.ctl, "eval", "ssl:clear_pem_cache().")
            await asyncio.to_thread(rabbitmq.ctl, "eval", CLOSE_ALL)
            while not any("is not trusted" in str(it.get("error")) for it in logged):
                await SystemClock().sleep(0.05)
            ca.write_bytes(new.certificate.read_bytes())
            while not link.is_open:
                await SystemClock().sleep(0.05)
    unreachable = [it for it in logged if it["event"] == "broker.unreachable"]
    assert len(unreachable) == 1
    assert "NS_AMQP_CA" in unreachable[0]["error"]


async def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigurationFault, match=r"NS_AMQP_CA: .*holds no certificates"):
        async with connected(address(free_port(), tmp_path / "ca.pem")):
            pass
