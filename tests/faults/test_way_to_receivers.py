"""Receivers that can be reached and have answered, though not as the book says: their answer counts, and once."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.fleet import Worker
from tests.e2e.listener import listening
from tests.faults.rig import Rig
from tests.faults.rows import record, row
from tests.services.certificates import chain
from tests.services.listening import serving
from tests.services.odd_names import addresses, odd_names
from tests.services.program import free_port

Record = dict[str, Any]

ODD = {
    "a 204 with a body": b"HTTP/1.1 204 Taken\r\ncontent-length: 8\r\n\r\naccepted",
    "characters for bytes": "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nschön".encode(),
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
    "a length and chunks": b"HTTP/1.1 202 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "no chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\naccepted",
    "a header of 60 KB": b"HTTP/1.1 200 OK\r\nx: " + b"x" * 60_000 + b"\r\ncontent-length: 0\r\n\r\n",
    "600 headers": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 600 + b"content-length: 0\r\n\r\n",
    "another version": b"http/9.9 200 OK\r\n\r\n",
    "an end within the head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "a 400 with a bad length": b"HTTP/1.1 400 No\r\ncontent-length: -1\r\n\r\nno",
    "a 410 with two lengths": b"HTTP/1.1 410 Gone\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nno",
}
ENDS = {"a 400 with a bad length": "rejected", "a 410 with two lengths": "gone"}


class Raw:
    """Answers with these bytes, by the number that ends the path; ``more`` is said when the answer has left."""

    def __init__(self, answers: Sequence[bytes], *, more: bytes = b"") -> None:
        self.answers, self.more = answers, more
        self.asked: list[int] = []
        self.connections = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                [length] = re.findall(rb"content-length: (\d+)", head)
                await reader.readexactly(int(length))
                number = int(head.split(b" ")[1].rpartition(b"/")[2])
                self.asked.append(number)
                writer.write(self.answers[number])
                await writer.drain()
                if not self.more:
                    break
                await asyncio.sleep(0)
                writer.write(self.more)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def raw(answers: Sequence[bytes], *, more: bytes = b"") -> AsyncIterator[tuple[Raw, str]]:
    receiver = Raw(answers, more=more)
    async with serving(receiver.take) as server:
        yield receiver, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def units_for(rig: Rig, hooks: Sequence[Record]) -> list[Record]:
    return [rig.unit(channels=None, destinations=[hook]) for hook in hooks]


async def end(worker: Worker, hook: Record, reason: str) -> None:
    """It has this end: delivered, or dead for a reason."""
    if reason == "delivered":
        await worker.says("notification.delivered", destination_id=hook["destination_id"])
    else:
        await worker.says("notification.dead", destination_id=hook["destination_id"], reason=reason)


@row(121, "a status whose rest is odd")
async def test_a_status_that_can_be_read_counts_at_the_first_attempt(rig: Rig) -> None:
    async with raw(list(ODD.values())) as (receiver, url), rig.workers(1, NS_RETRY_SCHEDULE="1s 1s") as (worker,):
        hooks = [rig.hook(url=f"{url}/{number}") for number in range(len(ODD))]
        await rig.broker.publish(units_for(rig, hooks))
        for kind, hook in zip(ODD, hooks, strict=True):
            await end(worker, hook, ENDS.get(kind, "delivered"))
    record(figure=f"{len(receiver.asked)} requests for {len(ODD)} odd answers")
    assert sorted(receiver.asked) == list(range(len(ODD)))


@row(129, "an answer is pushed onto a connection that is kept")
async def test_an_answer_that_nobody_asked_for_is_nobodys(rig: Rig) -> None:
    ok, gone = (b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % it for it in (b"200 OK", b"410 Gone"))
    async with raw([ok], more=gone) as (receiver, url), rig.workers(1) as (worker,):
        for _ in range(10):
            hook = rig.hook(url=f"{url}/0")
            await rig.broker.publish(units_for(rig, [hook]))
            await end(worker, hook, "delivered")
    assert receiver.asked == [0] * 10
    record(figure=f"10 requests over {receiver.connections} connections")


# The gateway of this network: what goes to a prefix of NAT64 arrives at ::1.
GATEWAY = """
import socket

connect = socket.socket.connect


def translated(self, address):
    if address[0].startswith(("64:ff9b:", "fd64:")):
        address = ("::1", *address[1:])
    return connect(self, address)


socket.socket.connect = translated
"""


@row(125, "receivers with IPv4 alone, behind DNS64")
async def test_a_receiver_behind_nat64_is_judged_by_the_address_that_it_stands_for(rig: Rig, tmp_path: Path) -> None:
    hosts = {
        "public.test": ("64:ff9b::808:808", "delivered"),
        "own.test": ("fd64::808:808", "delivered"),
        "private.test": ("64:ff9b::a01:203", "forbidden_address"),
        "metadata.test": ("fd64::a9fe:a9fe", "forbidden_address"),
        "loopback.test": ("64:ff9b::7f00:1", "forbidden_address"),
        "local.test": ("64:ff9b:1::808:808", "forbidden_address"),
    }
    made, port = chain(tmp_path / "made", *(f"DNS:{name}" for name in hosts)), free_port()
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "own").write_bytes(made.root.read_bytes())
    (tmp_path / "sitecustomize.py").write_text(GATEWAY)
    said = {name: addresses(address) for name, (address, _) in hosts.items()}
    async with (
        listening(port, "::1", tls=made.sending(made.issuer)) as receiver,
        odd_names(said) as names,
        rig.workers(
            1,
            NS_NAMESERVERS=names.place,
            NS_NAT64_PREFIXES="fd64::/96",
            NS_WEBHOOK_PORTS=str(port),
            NS_CA_DIR=str(tmp_path / "ca"),
            PYTHONPATH=str(tmp_path),
        ) as (worker,),
    ):
        hooks = [rig.hook(url=f"https://{name}:{port}/", ca="own") for name in hosts]
        await rig.broker.publish(units_for(rig, hooks))
        for hook, (_, reason) in zip(hooks, hosts.values(), strict=True):
            await end(worker, hook, reason)
    assert len(receiver.dialled) == 2


@pytest.mark.parametrize("trusted", ["issuer", "leaf"])
@row(128, "an issuing authority or a leaf alone, and names of UTS 46")
async def test_who_curl_would_reach_is_reached(rig: Rig, tmp_path: Path, trusted: str) -> None:
    hosts = {
        "xn--ls8h.test": "xn--ls8h.test",
        "\U0001f4a9.ls8h.test": "xn--ls8h.ls8h.test",
        "mu\u0308ller.test": "xn--mller-kva.test",
        "STRA\u1e9eE.test": "xn--strae-oqa.test",
    }
    made, port = chain(tmp_path / "made", *(f"DNS:{name}" for name in hosts.values())), free_port()
    (tmp_path / "ca").mkdir()
    file = made.issuer if trusted == "issuer" else made.leaf.certificate
    (tmp_path / "ca" / "own").write_bytes(file.read_bytes())
    said = {name: addresses("127.0.0.1") for name in hosts.values()}
    async with (
        listening(port, "127.0.0.1", tls=made.sending()) as receiver,
        odd_names(said) as names,
        rig.workers(1, NS_NAMESERVERS=names.place, NS_CA_DIR=str(tmp_path / "ca")) as (worker,),
    ):
        hooks = [rig.hook(url=f"https://{name}:{port}/", ca="own") for name in hosts]
        await rig.broker.publish(units_for(rig, hooks))
        for hook in hooks:
            await end(worker, hook, "delivered")
    assert len(receiver.dialled) == len(hosts)
