"""The odd servers say what they are told to: else a run would prove nothing."""

import asyncio
import struct
from collections.abc import AsyncIterator
from email.message import EmailMessage

import aiosmtplib
import pytest

from tests.patience import patience
from tests.services.program import HOST
from tests.strangers.dns_answers import Answer as Resolved
from tests.strangers.http_answers import Answer, Step
from tests.strangers.name_server import NameServer
from tests.strangers.receivers import Receivers
from tests.strangers.relay import Relay
from tests.strangers.smtp_dialogues import Dialogue

REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"


@pytest.fixture
async def receivers() -> AsyncIterator[Receivers]:
    made = Receivers()
    await made.listen(range(2))
    yield made
    await made.close()


async def reply(receivers: Receivers, number: int, *, asked: int = 1) -> bytes:
    port = int(receivers.url(number).split(":")[2].split("/")[0])
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(REQUEST * asked)
    async with patience(10):
        said = await reader.read()
    writer.close()
    return said


async def test_a_receiver_says_its_bytes_and_counts_what_it_was_asked(receivers: Receivers) -> None:
    receivers.answers |= {0: Answer([Step(b"any"), Step(b"thing")]), 1: Answer([Step(b"x" * 1000, forever=True)])}
    assert await reply(receivers, 0) == b"anything"
    assert len(await reply(receivers, 1)) > 1000
    assert receivers.asked == {0: 1, 1: 1}


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    made = Relay()
    await made.listen()
    yield made
    await made.close()


async def hand_over(relay: Relay, *recipients: str) -> list[str]:
    """What was said to each, over one connection."""
    port = int(relay.url.split(":")[2].split("?")[0])
    said = []
    client = aiosmtplib.SMTP(hostname=HOST, port=port, start_tls=False, timeout=30)
    async with client:
        for to in recipients:
            message = EmailMessage()
            message["From"], message["To"], message["Message-ID"] = "a@example.com", to, f"<{to}>"
            try:
                said.append((await client.send_message(message))[1])
            except aiosmtplib.SMTPException as refused:
                said.append(str(refused))
                await client.rset()
    return said


async def test_a_mail_server_is_odd_to_those_it_is_told_and_well_to_others(relay: Relay) -> None:
    relay.add("b@example.com", Dialogue(rcpt=b"550 5.7.1 no\r\n"))
    first, second = await hand_over(relay, "a@example.com", "b@example.com")
    assert "kept" in first
    assert "5.7.1 no" in second
    assert relay.accepted == {"a": 1}


async def test_a_mail_server_of_two_codes_in_one_reply_accepts_by_the_last(relay: Relay) -> None:
    relay.add("a@example.com", Dialogue(end=b"550-no\r\n250 yes\r\n"))
    relay.add("b@example.com", Dialogue(end=b"250-yes\r\n550 no\r\n"))
    await hand_over(relay, "a@example.com", "b@example.com")
    assert relay.accepted == {"a": 1}


async def test_what_is_odd_of_a_session_is_had_by_the_next_one_and_by_no_other(relay: Relay) -> None:
    relay.add("a@example.com", Dialogue(limit=1, over=b"452 4.5.3 too many\r\n"))
    assert "too many" in (await hand_over(relay, "a@example.com", "b@example.com"))[1]
    assert "kept" in (await hand_over(relay, "a@example.com", "b@example.com"))[1]


@pytest.fixture
async def names() -> AsyncIterator[NameServer]:
    made = NameServer()
    await made.listen()
    yield made
    made.close()


class Heard(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _: object) -> None:
        self.first.set_result(data)


def question(number: int) -> bytes:
    labels = (b"odd-%d" % number, b"strangers", b"example")
    name = b"".join(bytes([len(it)]) + it for it in labels) + b"\0"
    return struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + name + struct.pack(">HH", 1, 1)


async def by_datagram(names: NameServer, number: int) -> bytes:
    loop = asyncio.get_running_loop()
    transport, heard = await loop.create_datagram_endpoint(Heard, remote_addr=(HOST, names.port))
    transport.sendto(question(number))
    async with patience(10):
        answer = await heard.first
    transport.close()
    return answer


async def by_stream(names: NameServer, number: int) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, names.port)
    writer.write(struct.pack(">H", len(question(number))) + question(number))
    async with patience(10):
        (length,) = struct.unpack(">H", await reader.readexactly(2))
        answer = await reader.readexactly(length)
    writer.close()
    return answer


async def test_a_name_is_what_its_case_says_and_another_one_is_not_there(names: NameServer) -> None:
    names.answers |= {1: Resolved(), 2: Resolved(datagram="truncated", addresses=(HOST,) * 500)}
    whole, cut, unknown = [await by_datagram(names, number) for number in (1, 2, 3)]
    assert whole.endswith(b"\x00\x04\x7f\x00\x00\x01")
    assert cut[2] & 0x02
    assert unknown[3] & 0x0F == 3
    assert (await by_stream(names, 2)).count(b"\x7f\x00\x00\x01") == 500
