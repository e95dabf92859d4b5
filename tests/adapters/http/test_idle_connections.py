"""Connections that are kept: not too many, none of one organization's in place of another's, none used by another."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from notification_sender.adapters.http.idle_connections import MAX_IDLE, IdleConnections
from notification_sender.adapters.http.transport import AiohttpTransport
from notification_sender.channels.addresses import Addresses
from notification_sender.model.errors import ForbiddenAddress
from notification_sender.policy.networks import AllowedNetwork
from tests.patience import patience
from tests.services.listening import serving

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Receiver:
    """Answers everything; counts connections, and knows which are open."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.open: set[int] = set()
        self._changed = asyncio.Condition()
        self._writers: list[asyncio.StreamWriter] = []

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self.open.add(number)
        self._writers.append(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()
        async with self._changed:
            self.open.discard(number)
            self._changed.notify_all()

    async def becomes(self, *open_: int) -> None:
        async with patience(20), self._changed:
            await self._changed.wait_for(lambda: self.open == set(open_))


@asynccontextmanager
async def receiving(count: int = 1) -> AsyncIterator[list[Receiver]]:
    receivers = [Receiver() for _ in range(count)]
    async with AsyncExitStack() as stack:
        for receiver in receivers:
            server = await stack.enter_async_context(serving(receiver.take))
            receiver.port = server.sockets[0].getsockname()[1]
        yield receivers


async def send(transport: AiohttpTransport, receiver: Receiver, organization: str) -> None:
    url = f"http://127.0.0.1:{receiver.port}/"
    assert (await transport.exchange("GET", url, [], b"", organization=organization)).status == 200


async def test_a_connection_is_used_by_the_organization_alone_for_which_it_was_opened() -> None:
    async with receiving() as (receiver,), aclosing(AiohttpTransport()) as transport:
        for organization in ("a", "b", "a", "b", "c", "a"):
            await send(transport, receiver, organization)
        assert receiver.connections == 3


async def test_whoever_may_not_dial_a_network_is_not_sent_over_the_kept_connection_of_one_that_may() -> None:
    async with receiving() as (receiver,):
        narrowed = AllowedNetwork.parse(f"127.0.0.0/8:{receiver.port}=a")
        async with aclosing(AiohttpTransport(allow=Addresses(allowed=[narrowed]).check)) as transport:
            await send(transport, receiver, "a")
            with pytest.raises(ForbiddenAddress, match="this organization"):
                await send(transport, receiver, "b")
        assert receiver.connections == 1


async def test_the_name_that_one_may_dial_is_checked_again_for_another() -> None:
    async with receiving() as (receiver,):
        narrowed = AllowedNetwork.parse(f"127.0.0.0/8:{receiver.port}=a")
        loopback = AllowedNetwork.parse("::1/128")
        allow = Addresses(allowed=[narrowed, loopback]).check
        async with aclosing(AiohttpTransport(allow=allow)) as transport:
            for organization, refused in (("a", False), ("b", True), ("a", False)):
                url = f"http://localhost:{receiver.port}/"
                if refused:
                    with pytest.raises(ForbiddenAddress):
                        await transport.exchange("GET", url, [], b"", organization=organization)
                else:
                    await transport.exchange("GET", url, [], b"", organization=organization)
        assert receiver.connections == 1


class Both(AbstractResolver):
    """One address of each kind, the one of IPv6 first."""

    async def resolve(self, host: str, port: int = 0, _family: int = socket.AF_INET) -> list[ResolveResult]:
        found = {"::1": socket.AF_INET6, "127.0.0.1": socket.AF_INET}
        numeric = {"hostname": host, "port": port, "proto": 0, "flags": socket.AI_NUMERICHOST}
        return [ResolveResult(host=address, family=kind, **numeric) for address, kind in found.items()]

    async def close(self) -> None:
        """Nothing is kept."""


async def test_of_a_name_one_of_whose_addresses_is_for_another_none_is_dialled() -> None:
    async with receiving() as (receiver,):
        six = await asyncio.start_server(receiver.take, "::1", receiver.port)
        allowed = [AllowedNetwork.parse(it) for it in (f"127.0.0.0/8:{receiver.port}=a", "::1/128")]
        transport = AiohttpTransport(allow=Addresses(allowed=allowed).check, resolver=Both())
        url = f"http://both.test:{receiver.port}/"
        async with six, aclosing(transport):
            with pytest.raises(ForbiddenAddress):
                await transport.exchange("GET", url, [], b"", organization="b")
            assert receiver.connections == 0
            assert (await transport.exchange("GET", url, [], b"", organization="a")).status == 200


async def test_of_too_many_the_one_that_is_idle_longest_is_closed() -> None:
    idle = IdleConnections(most=3, share=3)
    async with receiving(4) as receivers, aclosing(AiohttpTransport(idle=idle)) as transport:
        for receiver in receivers[:3]:
            await send(transport, receiver, "a")
        await send(transport, receivers[0], "a")
        await send(transport, receivers[3], "a")
        await receivers[1].becomes()
        assert [it.open for it in receivers] == [{1}, set(), {1}, {1}]
        assert len(idle) == 3


async def test_one_with_many_hosts_pushes_out_none_but_its_own() -> None:
    idle = IdleConnections(most=8, share=2)
    async with receiving(7) as receivers, aclosing(AiohttpTransport(idle=idle)) as transport:
        await send(transport, receivers[0], "small")
        for receiver in receivers[1:]:
            await send(transport, receiver, "large")
        for receiver in receivers[1:5]:
            await receiver.becomes()
        await send(transport, receivers[0], "small")
        assert (receivers[0].connections, len(idle)) == (1, 3)


async def test_what_the_other_side_closes_is_not_counted() -> None:
    idle = IdleConnections(most=2, share=2)
    async with aclosing(AiohttpTransport(idle=idle)) as transport, receiving(2) as receivers:
        for receiver in receivers:
            await send(transport, receiver, "a")
        assert len(idle) == 2
        for receiver in receivers:
            receiver.hang_up()
        async with patience(20):
            while len(idle):  # noqa: ASYNC110 - it cannot be awaited, only asked
                await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("files", "most", "share"), [(64, 32, 8), (1024, 512, 128), (1_048_576, MAX_IDLE, MAX_IDLE // 4)]
)
def test_at_most_half_of_the_files_is_kept_for_later(files: int, most: int, share: int) -> None:
    idle = IdleConnections.within(files)
    assert (idle.most, idle.share) == (most, share)


async def test_thousands_of_hosts_leave_no_more_files_open_than_are_kept() -> None:
    idle = IdleConnections(most=16, share=4)
    async with receiving() as (receiver,), aclosing(AiohttpTransport(idle=idle)) as transport:
        for number in range(300):
            await send(transport, receiver, f"org-{number}")
        async with patience(20):
            while len(receiver.open) > 16:  # noqa: ASYNC110 - it cannot be awaited, only asked
                await asyncio.sleep(0)
