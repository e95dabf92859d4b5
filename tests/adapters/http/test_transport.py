"""The HTTP engine against servers that behave, and against servers that no honest person runs."""

import asyncio
import gzip
import os
import re
import resource
import socket
import ssl
import struct
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from aiohttp.abc import AbstractResolver

from notification_sender.adapters.http import egress
from notification_sender.adapters.http import transport as http
from notification_sender.adapters.http.transport import AiohttpTransport
from notification_sender.adapters.tls import Tls, TlsFile, TlsOptions
from notification_sender.model.errors import ClaimLost, ForbiddenAddress, Sent, TransportError, Unready
from notification_sender.ports.channels import Begin
from notification_sender.telemetry.lag import LoopMonitor
from notification_sender.telemetry.metrics import Metrics
from tests.faults.rows import row
from tests.patience import patience, patient
from tests.services.certificates import Certificate
from tests.services.certificates import certificate as made_certificate

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One connection, from the server's side."""

    def __init__(self, server: "Server", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server, self.reader, self.writer = server, reader, writer

    async def request(self) -> bytes:
        """One whole request, as it came."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next((line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"0")
        self._server.requests.append(head + await self.reader.readexactly(int(length)))
        return self._server.requests[-1]

    async def say(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def gone(self) -> None:
        """Until the client has hung up."""
        await self.reader.read()

    def reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


class Server:
    """Runs ``script`` for each connection; counts what it sees."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.requests: list[bytes] = []
        self.connections = 0
        self.running: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/x"

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.running.add(task := asyncio.current_task())  # type: ignore[arg-type]
        try:
            await self._script(Peer(self, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()
            self.running.discard(task)  # type: ignore[arg-type]


@asynccontextmanager
async def serving(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(script)
    listening = await asyncio.start_server(server.take, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server
        for task in list(server.running):
            task.cancel()
        await asyncio.gather(*server.running, return_exceptions=True)


async def polite(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.say(OK)


def says(*parts: bytes) -> Script:
    """Takes a request, says this and waits."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(*parts)
        await peer.gone()

    return script


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    async with aclosing(AiohttpTransport(deadline=patient(5))) as made:
        yield made


class Names(AbstractResolver):
    """Answers with these addresses, and counts."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> Any:  # noqa: ARG002 - the interface
        self.asked.append(host)
        if not self.addresses:
            raise OSError(None, "no such name")
        return [
            {"hostname": host, "host": it, "port": port, "family": 0, "proto": 0, "flags": 0} for it in self.addresses
        ]

    async def close(self) -> None:
        pass


def post(url: str, **extensions: Any) -> httpx.Request:
    return httpx.Request("POST", url, content=b'{"a":1}', extensions=extensions)


async def failure(transport: AiohttpTransport, request: httpx.Request) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await transport.handle_async_request(request)
    return caught.value


async def test_a_request_arrives_as_it_was_made_and_the_answer_comes_back_raw(transport: AiohttpTransport) -> None:
    answer = b"HTTP/1.1 418 No\r\nX-Case: Kept\r\ncontent-length: 2\r\n\r\n\xff\xfe"
    async with serving(says(answer)) as server:
        headers = {"X-MiXed": "a", "authorization": "Bearer t"}
        request = httpx.Request("POST", f"{server.url}/%7Ea%2Fb?q=%20+c&q", headers=headers, content=b"\x00body")
        response = await transport.handle_async_request(request)

        assert (response.status_code, await response.aread()) == (418, b"\xff\xfe")
        assert response.headers.raw[0] == (b"X-Case", b"Kept")
        line, *lines = server.requests[0].split(b"\r\n")
        assert line == b"POST /x/%7Ea%2Fb?q=%20+c&q HTTP/1.1"
        assert set(lines) == {
            *(b"X-MiXed: a", b"authorization: Bearer t", b"accept-encoding: identity"),
            *(b"host: 127.0.0.1:%d" % server.port, b"content-length: 5", b"", b"\x00body"),
        }


async def test_one_connection_serves_many_requests(transport: AiohttpTransport) -> None:
    async with serving(polite) as server:
        for _ in range(3):
            await transport.handle_async_request(post(server.url))
        assert (len(server.requests), server.connections) == (3, 1)


async def test_a_connection_that_is_busy_for_too_long_is_replaced(
    transport: AiohttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_CONNECTION_AGE", 0.0)
    async with serving(polite) as server:
        for _ in range(3):
            await transport.handle_async_request(post(server.url))
        assert (len(server.requests), server.connections) == (3, 3)


async def test_what_is_http_s_own_is_not_the_caller_s_to_say(transport: AiohttpTransport) -> None:
    async with serving(polite) as server:
        headers = {"host": "other.example", "transfer-encoding": "chunked", "accept-encoding": "gzip", "a": "b"}
        await transport.handle_async_request(httpx.Request("POST", server.url, headers=headers, content=b"body"))
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        assert body == b"body"
        assert head.split(b"\r\n")[1:] == [
            *(b"host: 127.0.0.1:%d" % server.port, b"a: b", b"accept-encoding: identity", b"content-length: 4"),
        ]


@pytest.mark.parametrize("url", ["ftp://hooks.example/", "/x", "http:///x", "http://hooks.example:99999/"])
async def test_what_is_no_url_of_http_is_not_dialled(transport: AiohttpTransport, url: str) -> None:
    with pytest.raises(TransportError, match="the URL") as caught:
        await transport.exchange("GET", url, [], b"")
    assert caught.value.sent is Sent.NOTHING


async def test_after_one_address_was_refused_and_another_dialled_it_is_unknown() -> None:
    def all_but_one(address: str, port: int, *, tls: bool, **_: str) -> None:  # noqa: ARG001 - the interface
        if address == "127.0.0.2" and not tls:
            raise ForbiddenAddress(address)

    names = Names("127.0.0.2", "127.0.0.1")
    async with serving(hangs_up) as server, aclosing(AiohttpTransport(allow=all_but_one, resolver=names)) as transport:
        assert (await failure(transport, post(f"http://hooks.example:{server.port}/"))).sent is Sent.UNKNOWN
        assert len(server.requests) == 1


async def test_it_works_below_an_httpx_client(transport: AiohttpTransport) -> None:
    async with serving(polite) as server, httpx.AsyncClient(transport=transport) as client:
        assert (await client.get(server.url)).text == "ok"


async def test_nothing_was_sent_where_nobody_listens(transport: AiohttpTransport) -> None:
    async with serving(polite) as server:
        pass
    fault = await failure(transport, post(server.url))
    assert (fault.sent, fault.ill) == (Sent.NOTHING, True)


async def test_nothing_was_sent_where_the_name_is_unknown() -> None:
    async with aclosing(AiohttpTransport(resolver=Names())) as transport:
        fault = await failure(transport, post("http://hooks.example/secret-path"))
        assert fault.sent is Sent.NOTHING
        assert "secret-path" not in str(fault)


@pytest.mark.parametrize("limits", [{"deadline": 0.05}, {"connect_timeout": 0.05}, {"deadline": 0.0}])
async def test_nothing_was_sent_where_time_runs_out_before_there_is_a_connection(limits: dict[str, float]) -> None:
    class Silent(Names):
        async def resolve(self, *_: Any, **__: Any) -> Any:
            await asyncio.Event().wait()

    async with aclosing(AiohttpTransport(resolver=Silent(), **limits)) as transport:  # type: ignore[arg-type]
        assert (await failure(transport, post("http://hooks.example/"))).sent is Sent.NOTHING


async def test_an_answer_that_comes_while_our_own_loop_is_held_is_in_time() -> None:
    async def later(peer: Peer) -> None:
        await peer.request()
        asyncio.get_running_loop().call_soon(hold)
        await asyncio.sleep(0.05)
        await peer.say(OK)

    deadline = patient(0.5)

    def hold() -> None:
        threading.Event().wait(2 * deadline)

    watching = asyncio.create_task(LoopMonitor(Metrics().lag).watch())
    async with serving(later) as server, aclosing(AiohttpTransport(deadline=deadline)) as transport:
        response = await transport.handle_async_request(post(server.url))
    watching.cancel()
    assert response.status_code == 200


async def test_a_header_of_two_lines_does_not_leave(transport: AiohttpTransport) -> None:
    async with serving(polite) as server:
        fault = await failure(transport, httpx.Request("POST", server.url, headers={"a": "b\r\nc: d"}, content=b"x"))
        assert (fault.sent, fault.ill, server.connections) == (Sent.NOTHING, False, 0)
        assert "c: d" not in str(fault)


async def hangs_up(peer: Peer) -> None:
    await peer.request()


async def resets(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def breaks_off(peer: Peer) -> None:
    await peer.request()
    await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")


async def informs_for_ever(peer: Peer) -> None:
    await peer.request()
    while True:
        await peer.say(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(hangs_up, id="closed"),
        pytest.param(resets, id="reset"),
        pytest.param(breaks_off, id="closed in the body"),
        pytest.param(informs_for_ever, id="103 for ever"),
        pytest.param(says(), id="silence"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\ncontent-le"), id="half a header"),
        pytest.param(says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), id="another protocol"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\na: " + b"x" * 5_000_000), id="a header of 5 MB"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000), id="100,000 headers"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"), id="a length below zero"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"), id="a chunk of no length"),
    ],
)
async def test_after_the_request_was_written_what_became_of_it_is_unknown(
    transport: AiohttpTransport, script: Script
) -> None:
    async with serving(script) as server:
        fault = await failure(transport, post(server.url, deadline=patient(0.3)))
        assert (fault.sent, fault.ill) == (Sent.UNKNOWN, True)
        assert len(server.requests) == 1
        assert not re.search("SSH|zz|-1", str(fault))  # the answer's own words may be ours, and secret


async def test_a_post_is_not_repeated_on_a_kept_connection_that_closes(transport: AiohttpTransport) -> None:
    async def second_is_dropped(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.request()
        peer.reset()

    async with serving(second_is_dropped) as server:
        await transport.handle_async_request(post(server.url))
        assert (await failure(transport, post(server.url))).sent is Sent.UNKNOWN
        assert (len(server.requests), server.connections) == (2, 1)


async def test_a_get_is_not_repeated_either_because_those_who_ask_know_how_often(transport: AiohttpTransport) -> None:
    async with serving(hangs_up) as server:
        assert (await failure(transport, httpx.Request("GET", server.url))).sent is Sent.UNKNOWN
        assert len(server.requests) == 1


async def test_where_the_time_went_is_told(transport: AiohttpTransport) -> None:
    async def slowly(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)

    async with serving(slowly) as server:
        response = await transport.handle_async_request(httpx.Request("GET", server.url))
    times = response.extensions["times"]
    assert len(times) == 3
    assert all(0 <= seconds < patient(5) for seconds in times)


# --- the last look before the first byte ------------------------------------------------------------------


async def exchange(transport: AiohttpTransport, server: Server, begin: Begin, deadline: float = 30.0) -> int:
    answer = await transport.exchange("POST", server.url, [], b"{}", deadline=deadline, begin=begin)
    return answer.status


async def test_a_process_that_was_stopped_reads_first_what_was_answered_meanwhile(
    transport: AiohttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()

    async def answer_while_it_is_stopped(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        then = loop.time
        monkeypatch.setattr(loop, "time", lambda: then() + 3600)

    async with serving(answer_while_it_is_stopped) as server:
        assert (await transport.handle_async_request(post(server.url))).status_code == 200


async def test_the_last_look_is_when_there_is_a_connection_and_nothing_was_sent(transport: AiohttpTransport) -> None:
    connected, looked = asyncio.Event(), asyncio.Event()

    async def sees(peer: Peer) -> None:
        connected.set()
        first = asyncio.create_task(peer.reader.readexactly(4))
        await looked.wait()
        assert not first.done()
        assert await first == b"POST"
        await peer.say(OK)
        await peer.gone()

    async def look() -> None:
        await connected.wait()
        looked.set()

    async with serving(sees) as server:
        assert await exchange(transport, server, look) == 200


async def test_a_process_that_may_open_no_more_files_holds_it_against_nobody(transport: AiohttpTransport) -> None:
    async with serving(polite) as server:
        with no_more_files():
            with pytest.raises(Unready, match="Too many open files"):
                await transport.exchange("POST", server.url, [], b"{}")
            fault = await failure(transport, post(server.url))
        assert (fault.sent, fault.ill) == (Sent.NOTHING, False)
        assert (await transport.exchange("POST", server.url, [], b"{}")).status == 200


@contextmanager
def no_more_files() -> Iterator[None]:
    """The next one would have the number that the limit forbids."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("fault", [ClaimLost("taken over"), Unready("the store is away")])
async def test_who_lost_the_claim_sends_nothing(transport: AiohttpTransport, fault: Exception) -> None:
    async def lost() -> None:
        raise fault

    async with serving(polite) as server:
        with pytest.raises(type(fault)) as caught:
            await exchange(transport, server, lost)
        assert caught.value is fault
        while server.running:  # its connection is not used again
            await asyncio.gather(*server.running)
        assert server.requests == []


async def test_whose_time_ran_out_while_it_was_stopped_in_its_look_sends_nothing(
    transport: AiohttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep, awake = 0.0, time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: awake() + asleep)

    async def stopped() -> None:
        nonlocal asleep
        asleep = 3600.0

    async with serving(polite) as server:
        with pytest.raises(TransportError, match="before anything was sent") as caught:
            await exchange(transport, server, stopped)
        assert (caught.value.sent, caught.value.ill, server.requests) == (Sent.NOTHING, False, [])


async def test_a_look_that_takes_too_long_ends_with_the_send_and_makes_no_host_ill(transport: AiohttpTransport) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async with serving(polite) as server:
        with pytest.raises(TransportError, match="before anything was sent") as caught:
            await exchange(transport, server, hang, deadline=patient(0.1))
        assert (caught.value.sent, caught.value.ill, server.requests) == (Sent.NOTHING, False, [])


async def test_nothing_was_sent_where_a_kept_connection_closed_during_the_look(transport: AiohttpTransport) -> None:
    closing = asyncio.Event()

    async def closes(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await closing.wait()

    async def look() -> None:
        closing.set()
        await asyncio.gather(*server.running)
        for _ in range(3):  # the loop has yet to tell the client's side
            await asyncio.sleep(0)

    async with serving(closes) as server:
        await transport.handle_async_request(post(server.url))
        with pytest.raises(TransportError) as caught:
            await exchange(transport, server, look)
        assert (caught.value.sent, caught.value.ill, server.connections) == (Sent.NOTHING, False, 1)


async def test_a_few_hints_before_an_answer_are_no_answer(transport: AiohttpTransport) -> None:
    async with serving(says(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 15, OK)) as server:
        assert (await transport.handle_async_request(post(server.url))).status_code == 200


async def test_hints_without_an_end_are_not_read_until_the_deadline(transport: AiohttpTransport) -> None:
    async with serving(informs_for_ever) as server:
        assert "not HTTP" in str(await failure(transport, post(server.url)))
        while server.running:  # it has been hung up on
            await asyncio.gather(*server.running)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_never_followed(transport: AiohttpTransport, status: int) -> None:
    async with serving(polite) as elsewhere:
        there = b"HTTP/1.1 %d Go\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n" % (status, elsewhere.url.encode())
        async with serving(says(there)) as server:
            assert (await transport.handle_async_request(post(server.url))).status_code == status
        assert elsewhere.connections == 0


async def test_cookies_and_proxies_of_the_environment_are_left_alone(
    transport: AiohttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def bakes(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(b"HTTP/1.1 200 OK\r\nset-cookie: a=b; path=/\r\ncontent-length: 0\r\n\r\n")

    async with serving(polite) as proxy, serving(bakes) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await transport.handle_async_request(post(server.url))
        await transport.handle_async_request(post(server.url))
        assert proxy.connections == 0
        assert b"cookie" not in server.requests[1].lower()


async def test_a_compressed_answer_stays_compressed(transport: AiohttpTransport) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    async with serving(says(head, bomb)) as server:
        response = await transport.handle_async_request(post(server.url))
        assert b"".join([part async for part in response.stream]) == bomb  # type: ignore[union-attr]


async def endless(peer: Peer) -> None:
    await peer.request()
    await peer.say(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await peer.say(b"x" * 4096)


async def drips(peer: Peer) -> None:
    await peer.request()
    await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    while True:
        await peer.say(b".")
        await asyncio.sleep(0.01)  # the fault itself: one byte at a time


@pytest.mark.parametrize(("script", "length"), [(endless, 1000), (drips, None), (breaks_off, 4)])
async def test_an_answer_without_end_is_an_error_or_as_far_as_it_came(script: Script, length: int | None) -> None:
    asked = {"max_bytes": 1000, "deadline": patient(0.3)}
    async with (
        serving(script) as server,
        aclosing(AiohttpTransport()) as strict,
        aclosing(AiohttpTransport(partial=True)) as lenient,
    ):
        assert (await failure(strict, post(server.url, **asked))).sent is Sent.UNKNOWN

        response = await lenient.handle_async_request(post(server.url, **asked))
        assert (response.status_code, response.extensions["partial"]) == (200, True)
        assert length in {len(await response.aread()), None}
        while server.running:  # the connection cannot be used again, so the server has lost it
            await asyncio.gather(*server.running)


async def test_large_answers_are_read_a_few_at_a_time_and_small_ones_wait_for_none(transport: AiohttpTransport) -> None:
    end, most = asyncio.Event(), 1024 * 1024

    async def script(peer: Peer) -> None:
        asked = await peer.request()
        if b"/small" in asked:
            await peer.say(OK)
        else:
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 500001\r\n\r\n", bytes(500_000))
            await (end.wait() if b"/slow" in asked else asyncio.sleep(0))
            await peer.say(b".")

    async with serving(script) as server:
        url = server.url.removesuffix("/x")

        async def length(path: str, deadline: float = 10.0) -> int:
            response = await transport.handle_async_request(post(url + path, max_bytes=most, deadline=deadline))
            return len(await response.aread())

        slow = [asyncio.create_task(length("/slow")) for _ in range(http.LARGE_BODIES_AT_ONCE)]
        async with patience(5):
            while not transport._large.locked():  # noqa: ASYNC110 - it cannot be awaited, only asked
                await asyncio.sleep(0)
        with pytest.raises(TransportError, match="deadline"):
            await length("/large", deadline=0.2)
        assert await length("/small") == 2
        end.set()
        assert set(await asyncio.gather(*slow, length("/large"))) == {500_001}


async def test_cancelled_requests_leave_nothing_behind(transport: AiohttpTransport) -> None:
    silent = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            if silent.is_set():
                await peer.gone()
            await peer.say(OK)

    async with serving(script) as server:
        await asyncio.gather(*(transport.handle_async_request(post(server.url)) for _ in range(5)))
        silent.set()
        for ticks in range(10):
            asked = [asyncio.create_task(transport.handle_async_request(post(server.url))) for _ in range(5)]
            for _ in range(ticks):
                await asyncio.sleep(0)
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        silent.clear()
        answers = await asyncio.gather(*(transport.handle_async_request(post(server.url)) for _ in range(50)))
        assert {it.status_code for it in answers} == {200}


# --- who may be dialled -----------------------------------------------------------------------------------


class Guard:
    """Allows all but 10/8, and without TLS only 127/8; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, bool]] = []

    def __call__(self, address: str, port: int, *, tls: bool, **_: str) -> None:
        self.asked.append((address, port, tls))
        if address.startswith("10.") or not (tls or address.startswith("127.")):
            raise ForbiddenAddress(f"{address} is not for us")


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Every socket that is opened; none of them connects."""
    opened: list[tuple[Any, ...]] = []

    def refuse(*info: Any) -> socket.socket:
        opened.append(info)
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr(egress, "socket", SimpleNamespace(socket=refuse))
    return opened


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("https://10.1.2.3/", []),
        ("https://hooks.example/", ["10.1.2.3"]),
        ("https://hooks.example/", ["192.0.2.7", "10.1.2.3"]),
        ("https://hooks.example/", ["192.0.2.7", "192.0.2.8", "10.1.2.3", "192.0.2.9"]),
        ("http://192.0.2.7/", []),
        ("http://hooks.example/", ["192.0.2.7"]),
        ("http://hooks.example/", ["192.0.2.7", "192.0.2.8"]),
    ],
)
async def test_a_forbidden_address_is_never_dialled(
    dialled: list[tuple[Any, ...]], url: str, addresses: list[str]
) -> None:
    async with aclosing(AiohttpTransport(allow=Guard(), resolver=Names(*addresses))) as transport:
        with pytest.raises(ForbiddenAddress, match="is not for us"):
            await transport.handle_async_request(post(url))
    assert dialled == []


async def test_an_allowed_address_is_dialled_and_its_trouble_is_told(dialled: list[tuple[Any, ...]]) -> None:
    guard = Guard()
    async with aclosing(AiohttpTransport(allow=guard, resolver=Names("192.0.2.7"))) as transport:
        assert (await failure(transport, post("https://hooks.example:8443/"))).sent is Sent.NOTHING
    assert dialled != []
    assert set(guard.asked) == {("192.0.2.7", 8443, True)}


@pytest.mark.parametrize("host", ["0x7f.1", "127.1", "2130706433", "0x7f000001", "localhost", "127.0.0.1."])
async def test_the_notations_that_a_system_understands_are_checked_as_what_it_makes_of_them(
    dialled: list[tuple[Any, ...]], host: str
) -> None:
    def nobody(address: str, port: int, *, tls: bool, **_: str) -> None:
        raise ForbiddenAddress(f"{address} {port} {tls}")

    async with aclosing(AiohttpTransport(allow=nobody)) as transport:
        with pytest.raises((ForbiddenAddress, TransportError)) as caught:
            await transport.handle_async_request(post(f"https://{host}/"))
    assert dialled == []
    assert getattr(caught.value, "sent", Sent.NOTHING) is Sent.NOTHING


async def test_every_new_connection_is_checked_again() -> None:
    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")

    verdicts = iter([None, ForbiddenAddress("not any more")])

    def changes_its_mind(address: str, port: int, *, tls: bool, **_: str) -> None:  # noqa: ARG001 - the interface
        if verdict := next(verdicts):
            raise verdict

    async with serving(once) as server, aclosing(AiohttpTransport(allow=changes_its_mind)) as transport:
        await transport.handle_async_request(post(server.url))
        with pytest.raises(ForbiddenAddress, match="not any more"):
            await transport.handle_async_request(post(server.url))
        assert server.connections == 1


# --- TLS --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return made_certificate(tmp_path_factory.mktemp("tls"), "DNS:hooks.example")


@pytest.fixture
def server_tls(certificate: Certificate) -> ssl.SSLContext:
    return certificate.serving()


@pytest.mark.parametrize(
    ("trusted", "host", "answered"),
    [(True, "hooks.example", True), (True, "other.example", False), (False, "hooks.example", False)],
)
async def test_tls_is_verified_against_the_name_in_the_url(
    certificate: Certificate, server_tls: ssl.SSLContext, *, trusted: bool, host: str, answered: bool
) -> None:
    names: list[str | None] = []
    server_tls.sni_callback = lambda _socket, name, _context: names.append(name)
    tls = Tls(TlsOptions("the API", "NS_API", ca=TlsFile(certificate.certificate, "NS_API_CA"))) if trusted else None
    async with (
        serving(polite, server_tls) as server,
        aclosing(AiohttpTransport(tls=tls, resolver=Names("127.0.0.1"), allow=Guard())) as transport,
    ):
        request = post(f"https://{host}:{server.port}/")
        if answered:
            assert (await transport.handle_async_request(request)).status_code == 200
        else:
            fault = await failure(transport, request)
            assert (fault.sent, server.requests) == (Sent.NOTHING, [])
            assert "certificate" in str(fault).lower()
        assert names == [host]


@row(66, "TLS 1.1 at most, and none")
async def test_a_server_that_speaks_no_tls_or_an_old_one_gets_nothing(server_tls: ssl.SSLContext) -> None:
    with pytest.deprecated_call():
        server_tls.maximum_version = ssl.TLSVersion.TLSv1_1
    for tls in (None, server_tls):
        async with serving(polite, tls) as server, aclosing(AiohttpTransport(deadline=patient(2))) as transport:
            fault = await failure(transport, post(server.url.replace("http:", "https:")))
            assert (fault.sent, server.requests) == (Sent.NOTHING, [])
