"""Looks up recipients' names: without threads, within a deadline, and with a limit per organization."""

import asyncio
import socket
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import structlog
from aiohttp.abc import AbstractResolver, ResolveResult
from pycares import AddrInfoNode
from pycares import errno as ares

from notification_sender.adapters.http.dns_query import NoAnswer, addresses_of
from notification_sender.adapters.http.egress import dialling
from notification_sender.model.errors import SlowDown

LOOKUP_TIMEOUT = 2.5
"""Seconds for one lookup. Shorter than the connect timeout, so that the error says that the lookup was slow."""

LOOKUPS_PER_ORGANIZATION = 64
"""Lookups of one organization at once. It chooses the names, and they may hang: they must not use up all lookups."""

TURN_TIMEOUT = 1.0
"""Seconds to wait for one of the organization's lookups."""

RETRY_SECONDS = 2.0
"""Seconds until a delivery tries again when its name was not looked up, or our own name server is away."""

MAX_TTL = 60.0
"""Seconds that an answer is cached at most, whatever its TTL: a name that moved is followed within this time."""

NEGATIVE_TTL = 5.0
"""Seconds that a failed lookup is cached: the name does not exist, or its name server hangs."""

CACHED_NAMES = 10_000
"""Names whose answers are cached: about 10 MB."""

MAX_ADDRESSES = 64
"""Addresses of one name at most. Each is checked before one is dialled, and a stranger's server may send thousands."""

_log = structlog.get_logger()

_OUR_SERVER_AWAY = {ares.ARES_ECONNREFUSED, ares.ARES_ENOMEM}
"""Codes that mean that no name server of ours could be asked. They say nothing about the name."""


class NameUnknown(OSError):
    """A name that could not be resolved. The text is written by us and holds nothing that a server sent."""


@dataclass(frozen=True, slots=True)
class _Answer:
    until: float
    """When it expires, in seconds of the loop's clock."""
    nodes: Sequence[AddrInfoNode] = ()
    fault: str = ""

    def addresses(self) -> Sequence[AddrInfoNode]:
        if self.fault:
            raise NameUnknown(self.fault)
        return self.nodes


class NameLookup(AbstractResolver):
    """Resolves names for the organization in ``dialling``. ``nameservers``: ``address:port``; else the system's own.

    One lookup serves all callers that wait for the same name.
    """

    def __init__(self, nameservers: Sequence[str] = ()) -> None:
        self._nameservers = nameservers
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._lookups: dict[str, asyncio.Task[_Answer]] = {}
        self._waiting: Counter[str] = Counter()
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._away = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve a name to all its addresses.

        Raises:
            NameUnknown: the name has no address, or no server answered in time.
            SlowDown: the name could not be looked up for a reason on our side.

        """
        name = host.lower()
        nodes = (self._cached(name) or await self._look_up(name)).addresses()
        return [_result(host, port, node) for node in nodes if family in {socket.AF_UNSPEC, node.family}]

    async def close(self) -> None:
        """Cancel all lookups."""
        for lookup in self._lookups.values():
            lookup.cancel()
        await asyncio.gather(*self._lookups.values(), return_exceptions=True)

    def _cached(self, name: str) -> _Answer | None:
        answer = self._answers.get(name)
        return answer if answer and asyncio.get_running_loop().time() < answer.until else None

    async def _look_up(self, name: str) -> _Answer:
        turns = self._turns.setdefault(dialling.get().organization, asyncio.Semaphore(LOOKUPS_PER_ORGANIZATION))
        try:
            async with asyncio.timeout(TURN_TIMEOUT):
                await turns.acquire()
        except TimeoutError:
            words = f"{LOOKUPS_PER_ORGANIZATION} names of this organization are being looked up already"
            raise SlowDown(words, seconds=RETRY_SECONDS, of_all=False) from None
        self._waiting[name] += 1
        try:
            # Shielded: the cancellation of one caller must not end the lookup for the others.
            return await asyncio.shield(self._shared_lookup(name))
        finally:
            turns.release()
            self._leave(name)

    def _leave(self, name: str) -> None:
        """Cancel a lookup that no caller waits for any more: it would exceed its organization's limit."""
        self._waiting[name] -= 1
        if not self._waiting[name]:
            del self._waiting[name]
            if (lookup := self._lookups.pop(name, None)) is not None:
                lookup.cancel()

    def _shared_lookup(self, name: str) -> "asyncio.Future[_Answer]":
        if (answer := self._cached(name)) is not None:  # answered while this caller waited for its turn
            known: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
            known.set_result(answer)
            return known
        lookup = self._lookups.get(name)
        if lookup is None:
            lookup = self._lookups[name] = asyncio.create_task(self._query(name), name="lookup")
            lookup.add_done_callback(lambda ended: self._ended(name, ended))
        return lookup

    async def _query(self, name: str) -> _Answer:
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                found = await addresses_of(name, self._nameservers)
        except TimeoutError:
            return self._refused("the name server did not answer in time")
        except NoAnswer as fault:
            return self._failed(fault)
        except UnicodeError:
            return self._refused("the name is not ASCII")
        self._is_away(away=False)
        if len(found.nodes) > MAX_ADDRESSES:
            return self._refused(
                f"the name has {len(found.nodes)} addresses, and more than {MAX_ADDRESSES} are never used"
            )
        ttl = min([MAX_TTL, *(it.ttl for it in found.nodes), *(it.ttl for it in found.cnames)])
        return _Answer(asyncio.get_running_loop().time() + ttl, nodes=_of_machine(name, found.nodes))

    def _failed(self, fault: NoAnswer) -> _Answer:
        # A truncated answer comes from a stranger's server: ours did answer.
        away = fault.code in _OUR_SERVER_AWAY and not fault.truncated
        self._is_away(away=away)
        if away:
            raise SlowDown(f"our name server: {fault}", seconds=RETRY_SECONDS, of_all=False)
        return self._refused(f"the name server: {fault}")

    def _refused(self, fault: str) -> _Answer:
        return _Answer(asyncio.get_running_loop().time() + NEGATIVE_TTL, fault=fault)

    def _ended(self, name: str, ended: "asyncio.Task[_Answer]") -> None:
        if self._lookups.get(name) is ended:
            del self._lookups[name]
        if ended.cancelled() or ended.exception():
            return
        self._answers[name] = ended.result()
        self._answers.move_to_end(name)
        if len(self._answers) > CACHED_NAMES:
            self._answers.popitem(last=False)

    def _is_away(self, *, away: bool) -> None:
        if away != self._away:
            self._away = away
            _log.warning("nameserver.away" if away else "nameserver.returned")


def _of_machine(name: str, nodes: Sequence[AddrInfoNode]) -> Sequence[AddrInfoNode]:
    """Drop the ``::1`` that c-ares adds to ``localhost``, whatever ``/etc/hosts`` says. Where only 127.0.0.0/8 is
    allowed, the name would be refused for it.
    """
    if name.rstrip(".").rpartition(".")[2] != "localhost":
        return nodes
    return [node for node in nodes if node.family == socket.AF_INET] or nodes


def _result(host: str, port: int, node: AddrInfoNode) -> ResolveResult:
    address = node.addr[0].decode("ascii")
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=node.family, proto=0, flags=flags)
