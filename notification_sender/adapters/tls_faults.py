"""Errors of TLS in words: what is wrong, and what to do."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TlsFault:
    """``lasting``: waiting does not end it."""

    text: str
    lasting: bool = True


_EXPIRED, _NOT_YET = 10, 9
_OTHER_NAME = {62, 64}
_UNKNOWN_AUTHORITY = {2, 18, 19, 20, 21}
"""Codes of X509_verify_cert (OpenSSL)."""

_OLD = (
    "PROTOCOL_VERSION",
    "UNSUPPORTED_PROTOCOL",
    "NO_PROTOCOLS_AVAILABLE",
    "VERSION_TOO_LOW",
    "INAPPROPRIATE_FALLBACK",
)
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL")
_WANTS_CERTIFICATE = ("CERTIFICATE_REQUIRED", "NO_CERTIFICATE")
_REFUSES_CERTIFICATE = ("BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_", "UNKNOWN_CA", "ACCESS_DENIED")
"""Parts of the reasons that OpenSSL gives, most of them alerts (RFC 8446, 6.2) of the server."""


def tls_fault(fault: BaseException, *, service: str, variables: str) -> TlsFault | None:
    """The fault of TLS that caused ``fault``, in words; None if something else did.

    ``service``: the name of the server in the text. ``variables``: how the variables of its connection begin.
    """
    for cause in _causes(fault):
        # Errors of aiohttp have these classes as well, without the facts: those are in their cause.
        if isinstance(cause, ssl.SSLCertVerificationError) and hasattr(cause, "verify_code"):
            advice = _advice(cause, variables)
            return TlsFault(f"the certificate of {service} is not trusted: {_said(cause)}; {advice}")
        if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None):
            return _of_handshake(cause, service, variables)
    return None


def is_closed(fault: BaseException) -> bool:
    """Whether the other side closed the connection without a reason."""
    return any(
        isinstance(it, ConnectionResetError | BrokenPipeError | EOFError) or "closed by server" in str(it)
        for it in _causes(fault)
    )


def is_of_version(fault: BaseException) -> bool:
    """Whether both sides have no version of TLS in common."""
    return any(isinstance(it, ssl.SSLError) and _has(getattr(it, "reason", None) or "", _OLD) for it in _causes(fault))


def _causes(fault: BaseException | None) -> Iterator[BaseException]:
    while fault is not None:
        yield fault
        fault = fault.__cause__ or fault.__context__


def _said(fault: ssl.SSLCertVerificationError) -> str:
    return fault.verify_message.rstrip(".")


def _advice(fault: ssl.SSLCertVerificationError, variables: str) -> str:
    if fault.verify_code == _EXPIRED:
        return "renew it there, and start the server with the new one"
    if fault.verify_code == _NOT_YET:
        return "compare the clocks of both machines"
    if fault.verify_code in _OTHER_NAME:
        return "write a name of the certificate into the URL, or let one be issued for this name"
    if fault.verify_code in _UNKNOWN_AUTHORITY:
        return f"write the certificate of its authority into the file of {variables}_CA"
    return f"check it, and {variables}_CA"


def _of_handshake(fault: ssl.SSLError, service: str, variables: str) -> TlsFault:
    reason = fault.reason or ""
    own = f"{variables}_CERT and {variables}_KEY"
    if _has(reason, _OLD):
        return TlsFault(f"{service} speaks no TLS 1.2 or newer ({reason}); allow TLS 1.2 and 1.3 there")
    if _has(reason, _NO_TLS):
        return TlsFault(f"no TLS: {reason}; check the port, and whether this port speaks TLS")
    if _has(reason, _WANTS_CERTIFICATE):
        return TlsFault(f"{service} demands a client certificate; set {own}")
    if _has(reason, _REFUSES_CERTIFICATE):
        return TlsFault(f"{service} refuses our certificate ({reason}); check {own}, and its authority there")
    if "HANDSHAKE_FAILURE" in reason:
        return TlsFault(f"{service} refuses the TLS handshake; it may demand a client certificate: set {own}")
    return TlsFault(f"the TLS connection to {service} broke ({reason or fault})", lasting=False)


def _has(reason: str, parts: tuple[str, ...]) -> bool:
    return any(it in reason for it in parts)
