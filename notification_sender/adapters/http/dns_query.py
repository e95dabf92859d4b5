"""One lookup of one name by c-ares, on the event loop, with its own socket. Nothing of it outlives the lookup."""

import asyncio
import socket
from collections.abc import Sequence
from fcntl import ioctl
from termios import FIONREAD

import pycares

TRY_SECONDS = 0.5
"""Seconds for the first answer of a name server. It is asked ``TRIES`` times, each time with twice the timeout."""

TRIES = 3

_BAD = pycares.ARES_SOCKET_BAD


class NoAnswer(Exception):
    """A lookup that failed. ``code`` is the code of c-ares, ``str()`` its text.

    ``truncated``: a name server answered, its answer was truncated, and TCP gave no full answer. The code is then that
    of TCP, which is the same as when no name server can be reached.
    """

    def __init__(self, code: int, *, truncated: bool = False) -> None:
        words = str(pycares.errno.strerror(code))
        super().__init__(f"its answer is truncated, and over TCP: {words}" if truncated else words)
        self.code = code
        self.truncated = truncated


async def addresses_of(name: str, nameservers: Sequence[str]) -> pycares.AddrInfoResult:
    """Look up all addresses in ``/etc/hosts`` or at ``nameservers`` (``address:port``; default: the system's).

    Cancellation ends the lookup. Each lookup has a channel of its own, which costs 20 µs. A shared channel would send
    all queries through one socket and drop all of them when one answer cannot be read; and it would cache answers for
    an hour.

    Raises:
        NoAnswer: the name has no address, or no server answered.

    """
    query = _Query(nameservers)
    try:
        return await query.ask(name)
    finally:
        query.close()


class _Query:
    def __init__(self, nameservers: Sequence[str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[pycares.AddrInfoResult] = self._loop.create_future()
        self._reading: set[int] = set()
        self._writing: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._truncated = False
        # ndots=1: a name with a dot is queried as it is before search domains are added. With the ndots:5 of Kubernetes
        # each name would be queried in every domain of the cluster first.
        self._channel = pycares.Channel(
            timeout=TRY_SECONDS, tries=TRIES, ndots=1, servers=nameservers or None, sock_state_cb=self._watch
        )

    async def ask(self, name: str) -> pycares.AddrInfoResult:
        self._channel.getaddrinfo(name, None, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM, callback=self._answered)
        self._process(_BAD, _BAD)
        return await self._answer

    def close(self) -> None:
        """End the lookup. pycares finishes in a thread of its own, which must not call us back: hence ``_closed``."""
        self._channel.cancel()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for socket_ in self._reading:
            self._loop.remove_reader(socket_)
        for socket_ in self._writing:
            self._loop.remove_writer(socket_)
        self._channel.close()

    def _answered(self, result: pycares.AddrInfoResult | None, code: int | None) -> None:
        if self._closed or self._answer.done():
            return
        if code is None and result is not None:
            self._answer.set_result(result)
        else:
            self._answer.set_exception(NoAnswer(code or pycares.errno.ARES_ENODATA, truncated=self._truncated))

    def _watch(self, socket_: int, readable: bool, writable: bool) -> None:  # noqa: FBT001 - as pycares calls it
        if self._closed:
            return
        if readable:
            self._reading.add(socket_)
            self._loop.add_reader(socket_, self._process, socket_, _BAD)
        elif socket_ in self._reading:
            self._reading.discard(socket_)
            self._loop.remove_reader(socket_)
        if writable:
            self._writing.add(socket_)
            self._loop.add_writer(socket_, self._process, _BAD, socket_)
        elif socket_ in self._writing:
            self._writing.discard(socket_)
            self._loop.remove_writer(socket_)

    def _process(self, readable: int, writable: int) -> None:
        """Let c-ares read what arrived and handle its timeouts."""
        if self._closed:
            return
        self._truncated = self._truncated or (readable != _BAD and _is_truncated(readable))
        self._channel.process_fd(readable, writable)
        if self._timer is not None:
            self._timer.cancel()
        if not self._answer.done():
            seconds: float = self._channel.timeout()  # type: ignore[no-untyped-call]
            self._timer = self._loop.call_later(max(seconds, 0.001), self._process, _BAD, _BAD)


def _is_truncated(descriptor: int) -> bool:
    """Whether the answer that waits for c-ares is truncated (the TC bit, RFC 1035, section 4.1.1)."""
    known = socket.socket(fileno=descriptor)
    try:
        # With no bytes there may be a socket error instead, and reading it here would take it from c-ares.
        if known.type != socket.SOCK_DGRAM or ioctl(descriptor, FIONREAD, b"\0" * 4) == b"\0" * 4:
            return False
        head = known.recv(3, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return False
    finally:
        known.detach()
    return len(head) > 2 and bool(head[2] & 0x02)  # noqa: PLR2004 - the two bytes of the query id come first
