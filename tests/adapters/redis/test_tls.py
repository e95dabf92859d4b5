"""TLS to a real Redis: who is refused and what is said, client certificates, and certificates that change."""

from pathlib import Path

import pytest
import structlog

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.redis.client import Redis
from notification_sender.adapters.tls import Tls, TlsFile, TlsOptions
from notification_sender.model.errors import ConfigurationFault
from tests.faults.rows import row
from tests.patience import patience
from tests.services.certificates import Certificate, certificate, issued
from tests.services.program import HOST, free_port
from tests.services.redis import running_redis, with_tls
from tests.services.tls_servers import REFUSED


def client(port: int, ca: Path | None, own: Certificate | None = None) -> Redis:
    options = TlsOptions(
        "Redis",
        "NS_REDIS",
        ca=ca and TlsFile(ca, "NS_REDIS_CA"),
        certificate=own and TlsFile(own.certificate, "NS_REDIS_CERT"),
        key=own and TlsFile(own.key, "NS_REDIS_KEY"),
    )
    return Redis(url=f"rediss://{HOST}:{port}/0", tls=Tls(options))


@row(29, "TLS: refused by each kind of fault, on a real Redis")
@pytest.mark.parametrize("kind", REFUSED)
async def test_a_server_that_cannot_be_trusted_is_refused_at_once_with_what_to_do(tmp_path: Path, kind: str) -> None:
    refused = REFUSED[kind]
    made, port = refused.shows(tmp_path / "tls"), free_port()
    demands = made.certificate if refused.demands else None
    versions = "TLSv1.1" if refused.old else "TLSv1.2 TLSv1.3"
    options = with_tls(port, made, demands=demands, versions=versions)
    with running_redis(**options), pytest.raises(ConfigurationFault) as fault:
        await client(port, made.certificate if refused.trusted else None).connect()
    assert str(fault.value).startswith(f"{HOST}:{port} (NS_REDIS_URL): ")
    assert "\n" not in str(fault.value)
    assert all(it in str(fault.value) for it in refused.says), fault.value


async def test_a_client_certificate_is_accepted_and_one_of_nobody_is_refused(tmp_path: Path) -> None:
    authority, port = certificate(tmp_path / "authority", "DNS:authority"), free_port()
    shown, own = (issued(tmp_path / name, authority, f"IP:{HOST}") for name in ("server", "worker"))
    stranger = certificate(tmp_path / "stranger", "DNS:worker")
    with running_redis(**with_tls(port, shown, demands=authority.certificate)):
        accepted = client(port, authority.certificate, own)
        await accepted.connect()
        await accepted.ping()
        await accepted.close()
        with pytest.raises(ConfigurationFault, match=r"refuses our certificate .*NS_REDIS_CERT and NS_REDIS_KEY"):
            await client(port, authority.certificate, stranger).connect()


async def test_a_renewed_authority_is_read_when_the_connection_is_opened_again(tmp_path: Path) -> None:
    old, new = (certificate(tmp_path / name, f"IP:{HOST}") for name in ("old", "new"))
    ca, port = tmp_path / "ca.pem", free_port()
    ca.write_bytes(old.certificate.read_bytes())
    redis = client(port, ca)
    with structlog.testing.capture_logs() as logged:
        with running_redis(**with_tls(port, old)):
            await redis.connect()
        with running_redis(**with_tls(port, new)):
            async with patience(60):
                while not any("is not trusted" in str(it.get("error")) for it in logged):
                    await SystemClock().sleep(0.05)
                ca.write_bytes(new.certificate.read_bytes())
                await redis.wait_ready()
            await redis.ping()
            await redis.close()
    [untrusted] = [it for it in logged if "is not trusted" in str(it.get("error"))]
    assert "NS_REDIS_CA" in untrusted["error"]
