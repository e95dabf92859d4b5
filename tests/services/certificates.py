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
    files = ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run(  # noqa: S603 - our own arguments
        ["openssl", *how.split(), "-addext", f"subjectAltName={','.join(names)}", *files],  # noqa: S607 - found on the path
        check=True,
        capture_output=True,
    )
    return made
