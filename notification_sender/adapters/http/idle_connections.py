"""Idle connections: a limit for all, and a limit per organization so that none crowds the others out."""

import asyncio
from collections import OrderedDict, defaultdict
from functools import partial

from notification_sender.adapters.http.connection import HttpConnection

MAX_IDLE = 4096
"""Idle connections at most, however many files may be open: one with TLS takes about 50 kB."""


class IdleConnections:
    """At most ``most`` connections, and ``share`` per organization (our own APIs count as one).

    The connector keeps the connections and closes them after ``IDLE_SECONDS``; this class counts them and closes the
    excess, the longest idle first.
    """

    def __init__(self, most: int = MAX_IDLE, share: int = MAX_IDLE // 4) -> None:
        self.most = most
        self.share = share
        self._all: OrderedDict[HttpConnection, str] = OrderedDict()
        self._of: defaultdict[str, OrderedDict[HttpConnection, None]] = defaultdict(OrderedDict)

    @classmethod
    def within(cls, files: int) -> "IdleConnections":
        """The limits for a process that may open so many files: half of them at most."""
        most = min(MAX_IDLE, files // 2)
        return cls(most, max(1, most // 4))

    def __len__(self) -> int:
        return len(self._all)

    def add(self, protocol: HttpConnection, organization: str) -> None:
        """Add a connection that is no longer in use, but open."""
        self._all[protocol] = organization
        own = self._of[organization]
        own[protocol] = None
        self._watch(protocol)
        if len(own) > self.share:
            self._close(next(iter(own)))
        if len(self._all) > self.most:
            self._close(next(iter(self._all)))

    def remove(self, protocol: HttpConnection | None) -> None:
        """Remove a connection that is in use again, or closed. An unknown one is ignored."""
        if protocol is None or (organization := self._all.pop(protocol, None)) is None:
            return
        own = self._of[organization]
        del own[protocol]
        if not own:
            del self._of[organization]

    def close_all(self) -> None:
        """Close every idle connection, to free their files."""
        for protocol in list(self._all):
            self._close(protocol)

    def _close(self, protocol: HttpConnection) -> None:
        self.remove(protocol)
        protocol.abort()  # a TLS shutdown would wait for the other side, for as long as that likes

    def _watch(self, protocol: HttpConnection) -> None:
        """Forget the connection when its other side closes it."""
        if not protocol.watched and (closed := protocol.closed) is not None:
            protocol.watched = True
            closed.add_done_callback(partial(self._ended, protocol))

    def _ended(self, protocol: HttpConnection, ended: asyncio.Future[None]) -> None:
        ended.exception()  # retrieved, else asyncio logs that it never was
        self.remove(protocol)
