"""The email channel: what it writes, and what nobody can write into it."""

import email
import email.policy
import gc
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.channels.email import Email, is_address, subject_line
from notification_sender.model.destination import Destination
from notification_sender.model.errors import ChannelNotConfigured, ConfigurationFault, SchemaViolation
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Receipt
from notification_sender.ports.channels import Begin

NOW = datetime(2026, 3, 6, 8, 26, tzinfo=UTC).timestamp()
ID = "5f0e6f6e-7d0b-5f0e-9d62-0d6f7e1c2a34"
HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]


class Still:
    """A clock that stands."""

    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


class RecordingMailer:
    """A mail server that takes everything."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, bytes]] = []

    async def send(self, sender: str, recipient: str, message: bytes, begin: Begin, *, organization: str) -> Receipt:
        assert organization == "org"
        await begin()
        self.sent.append((sender, recipient, message))
        return Receipt("250 queued as 42")


async def begin() -> None:
    """The claim is still ours."""


def to_send(content: dict[str, str] | None = None, **extra: Any) -> Notification:
    destination = {"destination_id": "noc", "channel": "email", "to": "noc@example.com"} | extra
    return Notification(
        notification_id=ID,
        organization_id="org",
        work_unit_id="wu",
        kind="intel",
        event="incident.updated",
        destination=Destination.model_validate(destination),
        content={"subject": "Open: ZH-012", "txt": "text\n", "html": "<p>html</p>"} | (content or {}),
    )


async def wire(notification: Notification, sender: str = "Jörg, NOC <noc@alerts.example>") -> bytes:
    mailer = RecordingMailer()
    await Email(mailer=mailer, sender=sender, clock=Still()).send(notification, begin)
    return mailer.sent[0][2]


def read(message: bytes) -> EmailMessage:
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert parsed.defects == []
    return parsed


async def test_the_message_is_what_the_contract_says() -> None:
    mailer = RecordingMailer()
    channel = Email(mailer=mailer, sender="Jörg, NOC <noc@alerts.example>", clock=Still())
    receipt = await channel.send(to_send(unsubscribe_url="https://example.com/u/abc"), begin)
    assert receipt.text == "250 queued as 42"
    sender, recipient, message = mailer.sent[0]
    assert (sender, recipient) == ("noc@alerts.example", "noc@example.com")
    parsed = read(message)
    assert parsed["From"].addresses[0].display_name == "Jörg, NOC"
    assert parsed["To"] == "noc@example.com"
    assert parsed["Date"].datetime.timestamp() == NOW
    assert parsed["Message-ID"] == f"<{ID}@alerts.example>"
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed["List-Unsubscribe"] == "<https://example.com/u/abc>"
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert parsed.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in parsed.iter_parts()] == ["text/plain", "text/html"]
    assert [part.get_content().strip() for part in parsed.iter_parts()] == ["text", "<p>html</p>"]


async def test_the_same_notification_is_the_same_bytes() -> None:
    assert await wire(to_send()) == await wire(to_send())


async def test_a_message_leaves_no_cycles_behind() -> None:
    """They would pile up until everything in the process is looked at: tens of MiB, where a unit has 3,000 emails."""
    notification = to_send(unsubscribe_url="https://example.com/u")
    await wire(notification)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            await wire(notification)
        assert gc.collect() == 0
    finally:
        gc.enable()


async def test_no_unsubscribe_headers_without_a_link() -> None:
    assert read(await wire(to_send())).keys() == HEADERS


async def test_a_long_link_stays_in_one_piece() -> None:
    link = "https://example.com/u?" + "x" * 800
    assert f"\r\nList-Unsubscribe: <{link}>\r\n".encode() in await wire(to_send(unsubscribe_url=link))


@pytest.mark.parametrize(
    "to",
    [
        None,
        7,
        "",
        "noc",
        "@example.com",
        "noc@",
        "noc@example.com, evil@example.org",
        "noc@example.com;evil@example.org",
        "noc@example.com evil@example.org",
        "NOC <noc@example.com>",
        "<noc@example.com>",
        "noc@example.com\r\nBcc: evil@example.org",
        "noc@example.com\n",
        "noc@example.com\u2028",
        "noc@example.com\x00",
        '"a b"@example.com',
        "noc(x)@example.com",
        "noc@[127.0.0.1]",
        "noc..x@example.com",
        "noc@-example.com",
        "=?utf-8?q?a=0D=0ABcc:_x@y?=@example.com",
        "nöc@example.com",
        "noc@exämple.com",
        "a" * 65 + "@example.com",
        "noc@" + "a." * 130 + "com",
    ],
)
def test_anything_but_one_address_is_refused(to: Any) -> None:
    channel = Email(mailer=None, sender=None, clock=Still())
    with pytest.raises(SchemaViolation, match="noc: to "):
        channel.address(to_send(to=to).destination)


@pytest.mark.parametrize("to", ["noc@example.com", "a.b+c@sub.example.co.uk", "o'neil@example.com", "root@localhost"])
def test_one_address_is_an_address(to: str) -> None:
    assert Email(mailer=None, sender=None, clock=Still()).address(to_send(to=to).destination) == to


@pytest.mark.parametrize(
    "link",
    [
        "http://example.com/u",
        "javascript:alert(1)",
        "mailto:a@example.com",
        "https://",
        "https://example.com/u>, <https://evil.example",
        "https://example.com/\r\nBcc: evil@example.org",
        "https://example.com/ä",
        "https://example.com/?=?utf-8?q?x?=",
        "https://example.com/" + "x" * 2000,
        7,
    ],
)
def test_an_unsubscribe_link_is_plain_https(link: Any) -> None:
    channel = Email(mailer=None, sender=None, clock=Still())
    with pytest.raises(SchemaViolation, match="unsubscribe_url"):
        channel.address(to_send(unsubscribe_url=link).destination)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  Open:\n ZH-012 \t x ", "Open: ZH-012 x"),
        ("a\r\nBcc: evil@example.org", "a Bcc: evil@example.org"),
        ("a\u2028Bcc: evil\u0085x\x0bx", "a Bcc: evil x x"),
        ("=?utf-8?q?a=0D=0ABcc:_x@y?=", "= ?utf-8?q?a=0D=0ABcc:_x@y?="),
        ("a=\x00?utf-8?q?b?=", "a= ?utf-8?q?b?="),
        ("محطة 🛰️ é", "محطة 🛰️ é"),
        ("x" * 2000, "x" * 255),
    ],
)
async def test_a_subject_is_one_line_and_no_code(text: str, line: str) -> None:
    parsed = read(await wire(to_send({"subject": text})))
    assert parsed.keys() == HEADERS
    assert parsed["Subject"] == line


@given(subject=st.text(max_size=300), body=st.text(max_size=300))
async def test_whatever_the_text_nothing_is_injected(subject: str, body: str) -> None:
    message = await wire(to_send({"subject": subject, "txt": body, "html": body}))
    message.decode("ascii")
    parsed = read(message)
    assert parsed.keys() == HEADERS
    assert parsed["To"] == "noc@example.com"
    assert parsed["Subject"] == subject_line(subject)
    assert len(list(parsed.iter_parts())) == 2
    assert max(len(line) for line in message.split(b"\r\n")) <= 998
    assert b"\n" not in message.replace(b"\r\n", b"")


BITS = [
    "\r\n",
    "\n",
    "Bcc: x@y",
    "=?utf-8?q?",
    "=0D=0A",
    "?=",
    ",",
    "\u2028",
    "\x00",
    "@",
    "<",
    ">",
    ";",
    '"',
    "=",
    "?",
    "--=_",
    ID,
    "a",
]


@given(st.lists(st.sampled_from(BITS), max_size=12).map("".join))
async def test_no_arrangement_of_dangerous_pieces_is_injected(text: str) -> None:
    parsed = read(await wire(to_send({"subject": text, "txt": text, "html": text})))
    assert parsed.keys() == HEADERS
    assert len(list(parsed.iter_parts())) == 2
    try:
        to = Email(mailer=None, sender=None, clock=Still()).address(to_send(to=f"noc{text}@example.com").destination)
    except SchemaViolation:
        return
    assert read(await wire(to_send(to=to)))["To"].addresses == (email.headerregistry.Address(addr_spec=to),)


@given(
    st.text() | st.lists(st.sampled_from([*BITS, "a", ".", "@", "x.example", "%0d%0a", "&"]), max_size=9).map("".join)
)
async def test_any_link_to_unsubscribe_is_one_header_as_it_is_or_is_refused(text: str) -> None:
    link = f"https://x{text}"
    sent = to_send(unsubscribe_url=link)
    try:
        Email(mailer=None, sender=None, clock=Still()).address(sent.destination)
    except SchemaViolation:
        return
    message = await wire(sent)
    assert message.count(f"\r\nList-Unsubscribe: <{link}>\r\n".encode("ascii")) == 1
    assert read(message).keys() == [*HEADERS[:6], "List-Unsubscribe", "List-Unsubscribe-Post", *HEADERS[6:]]


@given(st.lists(st.sampled_from([*BITS, "a", ".", "@", "x.example", "b"]), max_size=9).map("".join))
def test_what_is_taken_for_an_address_is_one_to_everybody(text: str) -> None:
    assert not is_address(text) or email.utils.getaddresses([text]) == [("", text)]


async def test_the_text_arrives_as_it_was() -> None:
    text = "محطة 🛰️ é\u2028 </script> {{7*7}} =3D\n.\n..\n" + "x" * 2000 + "\n trailing \n"
    plain, html = read(await wire(to_send({"txt": text, "html": text}))).iter_parts()
    assert plain.get_content() == html.get_content() == text.replace("\n", "\r\n")


async def test_control_characters_do_not_reach_the_reader() -> None:
    plain, _ = read(await wire(to_send({"txt": "a\x00b\x1bc\r\nd\te"}))).iter_parts()
    assert plain.get_content() == "abc\r\nd\te"


async def test_without_a_mail_server_an_email_is_dead() -> None:
    with pytest.raises(ChannelNotConfigured, match="NS_SMTP_URL"):
        await Email(mailer=None, sender=None, clock=Still()).send(to_send(), begin)


async def test_a_notification_without_its_parts_is_refused() -> None:
    notification = replace(to_send(), content={"json": "{}"})
    with pytest.raises(SchemaViolation, match="html, subject, txt"):
        await wire(notification)


@pytest.mark.parametrize(
    "sender", ["noc", "NOC", "a@b, c@d", "=?utf-8?q?x?= <a@example.com>", "x\r\nBcc: y <a@b.example>"]
)
def test_a_sender_that_is_no_address_is_refused_at_start(sender: str) -> None:
    with pytest.raises(ConfigurationFault, match="NS_EMAIL_FROM"):
        Email(mailer=None, sender=sender, clock=Still())
