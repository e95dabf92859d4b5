"""Whose certificates are trusted for a destination that names a certificate authority of its own."""

import ssl
from pathlib import Path

from notification_sender.channels.folder import Folder


class Authorities:
    """PEM files of one or more certificates, which a destination trusts in place of the public ones.

    Keys and versions are as ever: TLS 1.2 or newer, and the certificate must be for the host of the URL.
    """

    def __init__(self, directory: Path | None) -> None:
        self._files = Folder(directory, what="certificate authority", option="NS_CA_DIR", parse=_context)

    def context(self, name: str) -> ssl.SSLContext:
        """For ``name``, an identifier; the same one as before while its file is unchanged.

        Raises:
            SendFailed: it cannot be used; nothing was sent. To trust others in its place would be worse than to wait.

        """
        return self._files.read(name)


def _context(pem: bytes) -> ssl.SSLContext:
    # Not create_default_context: of an empty text it would conclude that the public ones are wanted.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Comments may be in any language.
        context.load_verify_locations(cadata=pem.decode("ascii", errors="ignore"))
    except (ssl.SSLError, ValueError):
        raise ValueError("the file holds no certificates in PEM form") from None
    return context
