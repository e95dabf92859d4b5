"""The files of TLS: read when a connection is opened, again when they have changed, and refused with what to do."""

import asyncio
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from notification_sender.adapters.tls import Tls, TlsFile, TlsOptions
from notification_sender.model.errors import ConfigurationFault
from tests.services.certificates import Certificate, certificate, issued


def tls(
    *, ca: Path | None = None, own: Certificate | None = None, key: Path | None = None, public: bool = False
) -> Tls:
    return Tls(
        TlsOptions(
            "the API",
            "NS_API",
            ca=ca and TlsFile(ca, "NS_API_CA"),
            certificate=own and TlsFile(own.certificate, "NS_API_CERT"),
            key=key and TlsFile(key, "NS_API_KEY"),
            public=public,
        )
    )


def put(file: Path, text: bytes) -> None:
    """In place of another, as a rotation does."""
    draft = file.with_suffix(".draft")
    draft.write_bytes(text)
    draft.replace(file)


@asynccontextmanager
async def server(shows: Certificate, *, demands: Path | None = None) -> AsyncIterator[int]:
    context = shows.serving()
    if demands is not None:
        context.load_verify_locations(demands)
        context.verify_mode = ssl.CERT_REQUIRED

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"welcome")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as listening:
        yield listening.sockets[0].getsockname()[1]


async def said_by(port: int, using: Tls) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=await using.context())
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_the_context_is_the_same_until_a_file_changes(tmp_path: Path) -> None:
    made, file = certificate(tmp_path / "a", "IP:127.0.0.1"), tmp_path / "ca.pem"
    put(file, made.certificate.read_bytes())
    using = tls(ca=file)
    first = await using.context()
    assert await using.context() is first
    put(file, made.certificate.read_bytes() + b"# renewed\n")
    assert await using.context() is not first


async def test_a_new_authority_is_trusted_by_the_next_connection(tmp_path: Path) -> None:
    old, new = (certificate(tmp_path / name, "IP:127.0.0.1") for name in ("old", "new"))
    put(tmp_path / "ca.pem", old.certificate.read_bytes())
    using = tls(ca=tmp_path / "ca.pem")
    async with server(new) as port:
        await using.context()
        with pytest.raises(ssl.SSLCertVerificationError):
            await said_by(port, using)
        put(tmp_path / "ca.pem", new.certificate.read_bytes())
        assert await said_by(port, using) == b"welcome"


async def test_half_of_a_rotation_leaves_what_worked_and_the_whole_is_used(tmp_path: Path) -> None:
    authority = certificate(tmp_path / "authority", "DNS:authority")
    old, new = (issued(tmp_path / name, authority, "DNS:worker") for name in ("old", "new"))
    mine = Certificate(tmp_path / "worker.pem", tmp_path / "worker.key")
    put(mine.certificate, old.certificate.read_bytes())
    put(mine.key, old.key.read_bytes())
    using = tls(ca=authority.certificate, own=mine, key=mine.key)
    first = await using.context()
    put(mine.certificate, new.certificate.read_bytes())
    assert await using.context() is first
    mine.key.unlink()
    assert await using.context() is first
    put(mine.key, new.key.read_bytes())
    assert await using.context() is not first


async def test_a_client_certificate_is_shown_from_one_file_or_from_two(tmp_path: Path) -> None:
    authority = certificate(tmp_path / "authority", "DNS:authority")
    shown, own = (issued(tmp_path / name, authority, "IP:127.0.0.1") for name in ("server", "worker"))
    both = Certificate(tmp_path / "both.pem", own.key)
    both.certificate.write_bytes(own.certificate.read_bytes() + own.key.read_bytes())
    async with server(shown, demands=authority.certificate) as port:
        assert await said_by(port, tls(ca=authority.certificate, own=own, key=own.key)) == b"welcome"
        assert await said_by(port, tls(ca=authority.certificate, own=both)) == b"welcome"


async def test_an_authority_of_ours_replaces_those_of_the_system_but_for_a_third_party(tmp_path: Path) -> None:
    made = certificate(tmp_path / "ca", "DNS:ours")
    only, both = [await tls(ca=made.certificate, public=public).context() for public in (False, True)]
    system = ssl.create_default_context().cert_store_stats()["x509"]
    assert only.cert_store_stats()["x509"] == 1
    assert both.cert_store_stats()["x509"] == system + 1


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_tls_1_2_is_the_oldest_and_names_are_compared(tmp_path: Path, version: str) -> None:
    made = certificate(tmp_path / "ca", "IP:127.0.0.1")
    context = await tls(ca=made.certificate).context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    serving = made.serving()
    serving.maximum_version = serving.minimum_version = ssl.TLSVersion[version]
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=serving) as listening:
        port = listening.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        assert writer.get_extra_info("ssl_object").version() == version.replace("_", ".")
        writer.close()


def encrypted(folder: Path) -> Certificate:
    made = certificate(folder / "plain", "DNS:x")
    key = folder / "encrypted.key"
    words = ["openssl", "pkey", "-aes256", "-in", str(made.key), "-out", str(key), "-passout", "pass:word"]
    subprocess.run(words, check=True, capture_output=True)  # noqa: S603 - our own
    return Certificate(made.certificate, key)


def of_another(folder: Path) -> Certificate:
    return Certificate(certificate(folder / "a", "DNS:x").certificate, certificate(folder / "b", "DNS:x").key)


def gone(folder: Path) -> Certificate:
    made = certificate(folder, "DNS:x")
    made.key.unlink()
    return made


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (encrypted, "the key is encrypted; write it without a passphrase"),
        (of_another, "holds no key in PEM form that belongs to the certificate in"),
        (gone, "No such file"),
    ],
)
async def test_a_key_that_cannot_be_used_is_refused_with_its_variable_and_file(
    tmp_path: Path, kind: Callable[[Path], Certificate], words: str
) -> None:
    made = kind(tmp_path)
    with pytest.raises(ConfigurationFault) as refused:
        await tls(own=made, key=made.key).context()
    assert str(refused.value).startswith("NS_API_KEY: ")
    assert all(it in str(refused.value) for it in (str(made.key), words))


@pytest.mark.parametrize(
    "text", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
async def test_a_file_without_certificates_is_refused_with_its_variable(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "ca.pem").write_bytes(text)
    with pytest.raises(ConfigurationFault, match=r"NS_API_CA: .*ca\.pem: the file holds no certificates in PEM form"):
        await tls(ca=tmp_path / "ca.pem").context()


async def test_a_link_that_points_elsewhere_is_a_change(tmp_path: Path) -> None:
    """As the kubelet does it: the file is a link through a folder, and the folder is replaced."""
    for name in ("old", "new"):
        certificate(tmp_path / name, "IP:127.0.0.1")
    (tmp_path / "data").symlink_to("old")
    using = tls(ca=tmp_path / "data" / "certificate.pem")
    first = await using.context()
    (tmp_path / "next").symlink_to("new")
    os.replace(tmp_path / "next", tmp_path / "data")  # noqa: PTH105 - Path.replace would follow
    assert await using.context() is not first
