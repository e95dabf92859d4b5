"""TLS to our own services: what proves who a server is and who we are. Files are read again when they have changed."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import structlog

from notification_sender.adapters.tls_faults import TlsFault, is_closed, is_of_version, tls_fault
from notification_sender.fleet.background import LogOnChange
from notification_sender.model.errors import ConfigurationFault
from notification_sender.policy.trust import CHECKS, public_trust

REFUSAL_SECONDS = 3.0
"""Seconds to ask a server why it refuses us."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TlsFile:
    """A file, and what names it: a variable, or an option of a URL."""

    path: Path
    given_by: str

    def version(self) -> tuple[int, int, int] | None:
        """Changes when the file does; None while it cannot be looked at."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How the connections to one service are secured.

    ``service``: its name in messages. ``variables``: how its variables begin, such as ``NS_AMQP``. ``ca``,
    ``ca_folder`` and ``ca_data`` replace the system's authorities; with ``public`` they are trusted beside these.
    ``certificate`` proves who we are; without ``key`` its file holds the key as well.
    """

    service: str
    variables: str
    ca: TlsFile | None = None
    certificate: TlsFile | None = None
    key: TlsFile | None = None
    ca_folder: str | None = None
    ca_data: str | bytes | None = None
    password: str | None = field(default=None, repr=False)
    public: bool = False
    verify: bool = True
    check_name: bool = True
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2

    @property
    def files(self) -> tuple[TlsFile, ...]:
        """The files that are read."""
        return tuple(it for it in (self.ca, self.certificate, self.key) if it is not None)

    @property
    def own_trust(self) -> bool:
        """Whether other authorities than the system's are named."""
        return bool(self.ca or self.ca_folder or self.ca_data)


class Tls:
    """The context of new connections to one service. ``system`` reads the authorities of the system."""

    def __init__(self, options: TlsOptions, *, system: Callable[[], ssl.SSLContext] = public_trust) -> None:
        self.options = options
        self._system = system
        self._context: ssl.SSLContext | None = None
        self._versions: list[tuple[int, int, int] | None] = []
        self._reading = asyncio.Lock()
        self._unusable = LogOnChange(_log.warning, "tls.file_unusable", service=options.service)

    async def context(self) -> ssl.SSLContext:
        """The context for a new connection; the same object while no file has changed.

        A changed file that cannot be used is logged, and the context stays as it was: half of a rotation looks so.

        Raises:
            ConfigurationFault: a file cannot be used, and none could be before.
        """
        async with self._reading:
            versions = [it.version() for it in self.options.files]
            if self._context is None or versions != self._versions:
                self._context = await self._read()
                self._versions = versions
            return self._context

    def fault(self, fault: BaseException) -> TlsFault | None:
        """The fault of TLS that caused ``fault``, in words; None if something else did."""
        return tls_fault(fault, service=self.options.service, variables=self.options.variables)

    async def explain(self, fault: BaseException, host: str, port: int) -> TlsFault | None:
        """As ``fault``, also if the server at this address closed the connection and its reason was lost with it."""
        return self.fault(fault) or (await self.refusal(host, port) if is_closed(fault) else None)

    async def refusal(self, host: str, port: int) -> TlsFault | None:
        """Why a server refuses us in a handshake with TLS 1.2; None if it does not, or has no TLS 1.2.

        With TLS 1.3 a client is refused after its handshake. Bytes that it has sent by then may cost it the reason.
        """
        context = await asyncio.to_thread(_context, self.options, public_trust)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        try:
            async with asyncio.timeout(REFUSAL_SECONDS):
                _, writer = await asyncio.open_connection(host, port, ssl=context)
        except OSError as fault:
            return None if is_of_version(fault) else self.fault(fault)
        writer.close()
        return None

    async def _read(self) -> ssl.SSLContext:
        try:
            # In a thread: the authorities of the system take tenths of a second.
            context = await asyncio.to_thread(_context, self.options, self._system)
        except ConfigurationFault as fault:
            if self._context is None:
                raise
            self._unusable(str(fault))
            return self._context
        self._unusable("")
        if self._context is not None:
            _log.info("tls.files_read_again", service=self.options.service)
        return context


def _context(options: TlsOptions, system: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    if replace(options, public=False) == TlsOptions(options.service, options.variables):
        return system()
    only_own = options.own_trust and not options.public
    # Not create_default_context: without authorities of ours it would load those of the system.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if only_own else public_trust()
    context.verify_flags = CHECKS
    context.minimum_version = options.minimum
    _load_trust(context, options)
    _load_own(context, options)
    context.check_hostname = options.verify and options.check_name
    context.verify_mode = ssl.CERT_REQUIRED if options.verify else ssl.CERT_NONE
    return context


def _load_trust(context: ssl.SSLContext, options: TlsOptions) -> None:
    if options.ca is not None:
        # As a text: comments may be in any language.
        pem = _bytes(options.ca).decode("ascii", errors="ignore")
        with _usable(options.ca, "the file holds no certificates in PEM form"):
            context.load_verify_locations(cadata=pem)
    if options.ca_folder or options.ca_data:
        try:
            context.load_verify_locations(capath=options.ca_folder, cadata=options.ca_data)
        except (OSError, ValueError) as fault:
            raise ConfigurationFault(f"{options.variables}_URL: its authorities cannot be read: {fault}") from None


def _load_own(context: ssl.SSLContext, options: TlsOptions) -> None:
    certificate, key = options.certificate, options.key or options.certificate
    if certificate is None or key is None:
        return
    for file in (certificate, key):
        _bytes(file)  # the error of the next step names no file
    with _usable(key, f"the file holds no key in PEM form that belongs to the certificate in {certificate.path}"):
        context.load_cert_chain(certificate.path, key.path, options.password or _no_password)


def _bytes(file: TlsFile) -> bytes:
    try:
        return file.path.read_bytes()
    except OSError as fault:
        raise ConfigurationFault(f"{file.given_by}: {file.path} cannot be read: {fault.strerror}") from None


@contextmanager
def _usable(file: TlsFile, otherwise: str) -> Iterator[None]:
    try:
        yield
    except _EncryptedKeyError:
        why = "the key is encrypted; write it without a passphrase, readable by the worker alone"
        raise ConfigurationFault(f"{file.given_by}: {file.path}: {why}") from None
    except (OSError, ValueError):
        raise ConfigurationFault(f"{file.given_by}: {file.path}: {otherwise}") from None


class _EncryptedKeyError(Exception):
    """A key needs a passphrase. Without this, OpenSSL would ask the terminal for it."""


def _no_password() -> NoReturn:
    raise _EncryptedKeyError
