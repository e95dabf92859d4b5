"""The certificate authorities that destinations name for themselves."""

import ssl
from pathlib import Path

from notification_sender.channels.watched_directory import WatchedDirectory
from notification_sender.policy.trust import CHECKS


class TrustStore:
    """PEM files of one or more certificates. They replace the public authorities for a destination: a root, an
    authority that the root has signed, or the server itself.

    All other checks stay: TLS 1.2 or newer, and a certificate for the host of the URL.
    """

    def __init__(self, directory: Path | None) -> None:
        self._files = WatchedDirectory(
            directory, what="certificate authority", option="NS_CA_DIR", reason="ca_missing", parse=_context
        )

    def context(self, name: str) -> ssl.SSLContext:
        """The context for ``name``, an identifier; the same object while the file is unchanged.

        Raises:
            SetupFault: the file cannot be used; nothing was sent. A wait is better than trust in other authorities.
            Unready: this process may open no more files just now.

        """
        return self._files.read(name)


def _context(pem: bytes) -> ssl.SSLContext:
    # Not create_default_context: with an empty text it would load the public authorities.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags = CHECKS
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Comments may be in any language.
        context.load_verify_locations(cadata=pem.decode("ascii", errors="ignore"))
    except (ssl.SSLError, ValueError):
        raise ValueError("the file holds no certificates in PEM form") from None
    return context
