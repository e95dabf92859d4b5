"""How certificates are checked, by every Python alike."""

import ssl

CHECKS = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
"""A trusted certificate ends a chain, also if it is not self-signed: an issuing authority alone, or the leaf alone.

Python 3.13 adds VERIFY_X509_STRICT by itself, which refuses many an authority of a private network for its form.
"""


def public_trust(read: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """The authorities of the system. It reads their files, unless ``read`` has them: that is set up as ours then."""
    context = read or ssl.create_default_context()
    # Debian's Python leaves the oldest version to a file of the system, others do not.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags = CHECKS
    return context
