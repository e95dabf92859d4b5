"""Certificates for servers of the tests: each is its own authority, as those of private networks often are."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files. ``certificate`` is also what a client has to trust."""

    certificate: Path
    key: Path

    def serving(self) -> ssl.SSLContext:
        """For a server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def certificate(folder: Path, *names: str) -> Certificate:
    """A new one, good for a day, for these names: ``DNS:hooks.example``, ``IP:127.0.0.1``."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    how = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=test"
    _openssl(f"{how} -addext subjectAltName={','.join(names)} -keyout {made.key} -out {made.certificate}")
    return made


@dataclass(frozen=True, slots=True)
class Chain:
    """``issuer`` is signed by ``root``, and has signed ``leaf``, whose file holds no other certificate."""

    root: Path
    issuer: Path
    leaf: Certificate

    def sending(self, *more: Path) -> ssl.SSLContext:
        """For a server that sends its own certificate, and these."""
        whole = self.leaf.certificate.with_name("sent.pem")
        whole.write_bytes(b"".join(it.read_bytes() for it in (self.leaf.certificate, *more)))
        return Certificate(whole, self.leaf.key).serving()


def chain(folder: Path, *names: str) -> Chain:
    """A server's certificate for these names, as authorities make them."""
    root = certificate(folder / "root", "DNS:root")
    issuer = _signed(folder / "issuer", root, "basicConstraints=critical,CA:TRUE")
    leaf = issued(folder / "leaf", issuer, *names)
    return Chain(root.certificate, issuer.certificate, leaf)


def issued(folder: Path, by: Certificate, *names: str) -> Certificate:
    """One for these names that ``by`` has signed, for a server or a client."""
    return _signed(folder, by, f"basicConstraints=CA:FALSE\nsubjectAltName={','.join(names)}")


def _signed(folder: Path, by: Certificate, extensions: str) -> Certificate:
    made = certificate(folder, "DNS:unsigned")
    (folder / "extensions").write_text(extensions)
    _openssl(f"req -new -key {made.key} -subj /CN={folder.name} -out {folder}/request.pem")
    _openssl(
        f"x509 -req -days 1 -in {folder}/request.pem -CA {by.certificate} -CAkey {by.key} -CAcreateserial "
        f"-extfile {folder}/extensions -out {made.certificate}"
    )
    return made


def expired(folder: Path, name: str) -> Certificate:
    """Was good for a day in 2020."""
    made = certificate(folder, name)
    (folder / "index").write_text("")
    (folder / "ca").write_text(
        f"[ca]\ndefault_ca=a\n[a]\ndatabase={folder}/index\nnew_certs_dir={folder}\nrand_serial=yes\n"
        f"default_md=sha256\npolicy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\nsubjectAltName={name}\n"
    )
    request, old = folder / "request.pem", folder / "old.pem"
    _openssl(f"req -new -key {made.key} -subj /CN=test -out {request}")
    _openssl(
        f"ca -batch -notext -config {folder}/ca -selfsign -keyfile {made.key} -in {request} -out {old} "
        "-startdate 20200101000000Z -enddate 20200102000000Z"
    )
    return Certificate(old, made.key)


def _openssl(words: str) -> None:
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True)  # noqa: S603, S607 - our own
