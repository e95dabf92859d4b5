"""Destinations with a certificate authority of their own, over real TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from notification_sender.adapters.http.transport import AiohttpTransport
from notification_sender.channels.trust_store import TrustStore
from notification_sender.model.errors import Sent, SetupFault, TransportError
from notification_sender.policy.trust import public_trust
from tests.services.certificates import Certificate, certificate, chain
from tests.services.listening import serving


@asynccontextmanager
async def https(tls: ssl.SSLContext) -> AsyncIterator[tuple[str, list[None]]]:
    """A server on localhost that takes everything, and its connections so far."""
    opened: list[None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(None)
        while await reader.readline() != b"":
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 204 Taken\r\n\r\n")
        writer.close()

    async with serving(serve, tls=tls) as server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}/", opened


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("ours"), "DNS:localhost")


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("another"), "DNS:localhost", "DNS:elsewhere.example")


@pytest.fixture
def authorities(tmp_path: Path, ours: Certificate, another: Certificate) -> TrustStore:
    (tmp_path / "ours").write_bytes("# für uns\n".encode() + ours.certificate.read_bytes())
    (tmp_path / "another").write_bytes(another.certificate.read_bytes())
    (tmp_path / "both").write_bytes(another.certificate.read_bytes() + ours.certificate.read_bytes())
    return TrustStore(tmp_path)


@pytest.mark.parametrize(("trusted", "answered"), [("ours", True), ("both", True), ("another", False), (None, False)])
async def test_only_the_authority_of_the_destination_is_trusted(
    authorities: TrustStore, ours: Certificate, trusted: str | None, *, answered: bool
) -> None:
    tls = authorities.context(trusted) if trusted else None
    async with https(ours.serving()) as (url, _), aclosing(AiohttpTransport()) as transport:
        if answered:
            assert (await transport.exchange("POST", url, [], b"", tls=tls)).status == 204
        else:
            with pytest.raises(TransportError, match="certificate") as caught:
                await transport.exchange("POST", url, [], b"", tls=tls)
            assert (caught.value.sent, caught.value.ill) == (Sent.NOTHING, True)


CHAINS = [
    ("root", ["issuer"], True),
    ("root", [], False),
    ("issuer", [], True),
    ("issuer", ["issuer"], True),
    ("leaf", [], True),
    ("leaf", ["issuer"], True),
    ("leaf", ["issuer", "root"], True),
]


@pytest.mark.parametrize(("trusted", "sent", "answered"), CHAINS)
async def test_a_root_an_issuer_and_the_leaf_itself_can_be_trusted(
    tmp_path: Path, trusted: str, sent: list[str], *, answered: bool
) -> None:
    made = chain(tmp_path / "made", "DNS:localhost")
    files = {"root": made.root, "issuer": made.issuer, "leaf": made.leaf.certificate}
    (tmp_path / "it").write_bytes(files[trusted].read_bytes())
    tls = TrustStore(tmp_path).context("it")
    async with (
        https(made.sending(*map(files.__getitem__, sent))) as (url, _),
        aclosing(AiohttpTransport()) as transport,
    ):
        if answered:
            assert (await transport.exchange("POST", url, [], b"", tls=tls)).status == 204
        else:
            with pytest.raises(TransportError, match="certificate"):
                await transport.exchange("POST", url, [], b"", tls=tls)


async def test_a_leaf_vouches_for_no_other_server_of_its_issuer(tmp_path: Path) -> None:
    made, another = (chain(tmp_path / name, "DNS:localhost") for name in ("made", "another"))
    (tmp_path / "it").write_bytes(another.leaf.certificate.read_bytes())
    tls = TrustStore(tmp_path).context("it")
    async with https(made.sending(made.issuer)) as (url, _), aclosing(AiohttpTransport()) as transport:
        with pytest.raises(TransportError, match="certificate"):
            await transport.exchange("POST", url, [], b"", tls=tls)


def test_every_python_checks_certificates_alike(authorities: TrustStore) -> None:
    for context in (authorities.context("ours"), public_trust()):
        assert context.verify_flags == ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_it_vouches_for_the_host_of_the_url_alone(tmp_path: Path) -> None:
    elsewhere = certificate(tmp_path / "made", "DNS:elsewhere.example")
    (tmp_path / "it").write_bytes(elsewhere.certificate.read_bytes())
    async with https(elsewhere.serving()) as (url, _), aclosing(AiohttpTransport()) as transport:
        with pytest.raises(TransportError, match="localhost"):
            await transport.exchange("POST", url, [], b"", tls=TrustStore(tmp_path).context("it"))


async def test_a_connection_is_not_used_for_who_trusts_another_authority(
    authorities: TrustStore, ours: Certificate
) -> None:
    async with https(ours.serving()) as (url, opened), aclosing(AiohttpTransport()) as transport:
        for _ in range(2):
            for name in ("ours", "both"):
                await transport.exchange("POST", url, [], b"", tls=authorities.context(name))
        for tls in (None, authorities.context("another")):
            with pytest.raises(TransportError, match="certificate"):
                await transport.exchange("POST", url, [], b"", tls=tls)
        assert len(opened) == 2


def test_a_file_without_certificates_is_said_to_be_one(tmp_path: Path, ours: Certificate) -> None:
    for content in (b"", b"whsec_abc", ours.key.read_bytes()):
        (tmp_path / "it").write_bytes(content)
        with pytest.raises(SetupFault, match=r"'it' cannot be used: .*: the file holds no certificates in PEM form$"):
            TrustStore(tmp_path).context("it")
