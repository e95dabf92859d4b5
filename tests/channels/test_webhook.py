"""The webhook channel: over the real engine to real servers, and what each answer means."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook as Judge
from structlog.testing import capture_logs

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.http import egress
from notification_sender.adapters.http.transport import AiohttpTransport, Answer
from notification_sender.channels import notices as notices_module
from notification_sender.channels.addresses import Addresses
from notification_sender.channels.notices import LISTED_SECONDS, Notices
from notification_sender.channels.signing import Secrets
from notification_sender.channels.trust_store import TrustStore
from notification_sender.channels.webhook import Transport, Webhook
from notification_sender.channels.webhook_target import target_of
from notification_sender.model.destination import Destination
from notification_sender.model.errors import (
    ClaimLost,
    ContextUnavailable,
    ForbiddenAddress,
    Gone,
    Permanent,
    Rejected,
    SchemaViolation,
    SendFailed,
    Sent,
    SetupFault,
)
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Receipt
from notification_sender.policy.networks import AllowedNetwork
from notification_sender.policy.retry import retry_after
from notification_sender.ports.channels import Begin

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
NOW = 1_772_785_560.7
ID = "7f0c1a52-5d0b-5e5e-9b58-0d6f7e1c2a34"
URL = "https://hooks.example/"
BODY = '{"type":"incident.updated","data":{"name":"Zürich \U0001f6a8\u2028"}}'


class Watch:
    """A clock that stands still."""

    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return 100.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class Tokens:
    """Hands out t1, and t2 when asked for a fresh one."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, bool]] = []

    async def token(self, organization_id: str, destination_id: str, resource: str, *, fresh: bool = False) -> str:
        self.asked.append((organization_id, destination_id, resource, fresh))
        return f"t{1 + fresh}"


TOKEN = "2YotnFZFEjr1zCsicMWpAA"


class LongTokens:
    """Hands out one that looks like one."""

    async def token(self, *_: str, fresh: bool = False) -> str:  # noqa: ARG002 - the interface
        return TOKEN


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    (tmp_path / "org-1").mkdir()
    (tmp_path / "org-1" / "noc").write_text(f"{KEY}\n{OTHER}\n")
    return Secrets(tmp_path)


async def begin() -> None:
    """The claim is still ours."""


def destination(**fields: Any) -> Destination:
    return Destination(destination_id="noc-hook", channel="webhook", **fields)


def notification(content: dict[str, str] | None = None, **fields: Any) -> Notification:
    return Notification(
        notification_id=ID,
        organization_id="org-1",
        work_unit_id="unit-1",
        kind="intel",
        event="incident.updated",
        destination=destination(**fields),
        content={"json": BODY} if content is None else content,
    )


def webhook(transport: Transport, secrets: Secrets, **others: Any) -> Webhook:
    given = {"trust_store": TrustStore(None), "tokens": Tokens(), "notices": Notices(Watch()), "clock": Watch()}
    given |= {"version": "1.2.3"} | others
    return Webhook(transport=transport, secrets=secrets, **given)


class Recipient:
    """Gives these answers in turn; remembers the headers and the deadline of each request."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, str]] = []
        self.deadlines: list[float] = []
        self.trusted: list[ssl.SSLContext | None] = []
        self.connected = False

    def is_connected(self, *_: object) -> bool:
        return self.connected

    async def exchange(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        *,
        deadline: float,
        begin: Begin,
        tls: ssl.SSLContext | None,
        organization: str,
    ) -> Answer:
        assert organization
        assert (method, url, body) == ("POST", URL, BODY.encode())
        await begin()
        self.trusted.append(tls)
        self.asked.append(dict(headers))
        self.deadlines.append(deadline)
        return self.answers.pop(0)


def answering(*statuses: int, headers: tuple[tuple[bytes, bytes], ...] = (), body: bytes = b"") -> Recipient:
    return Recipient(*(Answer(status, headers, body, partial=False, times=(0.0, 0.0, 0.0)) for status in statuses))


@asynccontextmanager
async def receiver(handler: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/hook", handler)
    async with TestServer(app, host="127.0.0.1") as server:
        yield str(server.make_url("/hook"))


@pytest.fixture
async def engine() -> AsyncIterator[AiohttpTransport]:
    check = Addresses(allowed=[AllowedNetwork.parse("127.0.0.0/8")]).check
    async with aclosing(AiohttpTransport(allow=check, partial=True, max_bytes=1000)) as made:
        yield made


async def test_what_the_recipient_gets(engine: AiohttpTransport, secrets: Secrets) -> None:
    got: list[tuple[dict[str, str], bytes]] = []

    async def take(request: web.Request) -> web.Response:
        as_written = {name.decode(): value.decode() for name, value in request.raw_headers}
        got.append((as_written, await request.read()))
        return web.Response(status=202, text="queued\n as\t42")

    async with receiver(take) as url:
        sent = await webhook(engine, secrets, clock=SystemClock()).send(notification(url=url, secret="noc"), begin)

    assert sent == Receipt("202", status=202)
    ((headers, body),) = got
    assert body == BODY.encode()
    for key in (KEY, OTHER):
        assert Judge(key).verify(body, headers) == json.loads(BODY)
    assert len(headers.pop("webhook-signature").split(" ")) == 2
    assert headers.pop("webhook-timestamp").isdigit()
    assert headers == {
        "content-type": "application/json",
        "user-agent": "notification-sender/1.2.3",
        "webhook-id": ID,
        "idempotency-key": ID,
        "accept-encoding": "identity",
        "host": url.split("/")[2],
        "content-length": str(len(body)),
    }


async def test_the_id_stays_and_the_timestamp_is_of_the_attempt(secrets: Secrets) -> None:
    recipient = answering(200)
    await webhook(recipient, secrets).send(notification(url=URL, secret="noc"), begin)
    assert (recipient.asked[0]["webhook-id"], recipient.asked[0]["webhook-timestamp"]) == (ID, "1772785560")


async def test_without_a_secret_it_is_sent_unsigned(secrets: Secrets) -> None:
    recipient = answering(200)
    await webhook(recipient, secrets).send(notification(url=URL), begin)
    assert "webhook-signature" not in recipient.asked[0]
    assert {"webhook-id", "webhook-timestamp"} <= set(recipient.asked[0])


async def test_with_a_secret_that_is_missing_nothing_is_sent(secrets: Secrets) -> None:
    recipient = answering(200)
    with pytest.raises(SetupFault, match="'org-1/nok'") as caught:
        await webhook(recipient, secrets).send(notification(url=URL, secret="nok"), begin)
    assert (caught.value.reason, recipient.asked) == ("secret_missing", [])


async def test_the_authority_that_a_destination_names_is_the_one_that_is_trusted(secrets: Secrets) -> None:
    class Known:
        def context(self, name: str) -> ssl.SSLContext:
            return contexts[name]

    contexts = {"noc-ca": ssl.create_default_context()}
    recipient = answering(200, 200)
    channel = webhook(recipient, secrets, trust_store=Known())
    await channel.send(notification(url=URL, ca="noc-ca"), begin)
    await channel.send(notification(url=URL), begin)
    assert recipient.trusted == [contexts["noc-ca"], None]


async def test_with_an_authority_that_is_missing_nothing_is_sent(secrets: Secrets) -> None:
    recipient = answering(200)
    with pytest.raises(SetupFault, match="'noc-ca' cannot be used: NS_CA_DIR is not set") as caught:
        await webhook(recipient, secrets).send(notification(url=URL, ca="noc-ca"), begin)
    assert (caught.value.reason, recipient.asked) == ("ca_missing", [])


# --- what an answer means ---------------------------------------------------------------------------------

ACCEPTED = [200, 201, 202, 204, 299]
LATER = [408, 425, 429, 500, 502, 503, 504, 599, 301, 302, 303, 304, 307, 308, 101, 600, 999]
REJECTED = [400, 401, 402, 403, 404, 405, 409, 413, 415, 418, 422, 451, 499]


@pytest.mark.parametrize("status", ACCEPTED)
async def test_2xx_is_a_receipt(secrets: Secrets, status: int) -> None:
    receipt = await webhook(answering(status, body=b"well\x00 done"), secrets).send(notification(url=URL), begin)
    assert receipt == Receipt(str(status), status=status)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [*((it, SendFailed) for it in LATER), *((it, Rejected) for it in REJECTED), (410, Gone)],
)
async def test_what_each_other_status_means(secrets: Secrets, status: int, meaning: type[Exception]) -> None:
    with pytest.raises((SendFailed, Permanent), match=f"^answered {status}") as caught:
        await webhook(answering(status, body=b"why not"), secrets).send(notification(url=URL), begin)
    assert type(caught.value) is meaning
    assert (caught.value.answer, "why not" in str(caught.value)) == ("why not", False)
    assert getattr(caught.value, "sent", Sent.ANSWERED) is Sent.ANSWERED
    assert ("never followed" in str(caught.value)) == (300 <= status < 400)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *(("120", 120.0), ("0", 0.0), ("0120", 120.0), ("9" * 5000, 9999999999.0)),
        ("Fri, 06 Mar 2026 08:27:00 GMT", 60 - 0.7),
        ("Friday, 06-Mar-26 08:27:00 GMT", 60 - 0.7),
        ("Fri Mar  6 08:27:00 2026", 60 - 0.7),
        *(("Fri, 06 Mar 2026 08:25:59 GMT", None), ("Thu, 01 Jan 1970 00:00:00 GMT", None)),
        *(("-5", None), ("+5", None), ("1.5", None), ("", None), ("soon", None), ("٣", None), ("1e9", None)),
        *(("Fri, 06 Mar 99999 08:27:00 GMT", None), ("Fri, 99 Mar 2026 99:99:99 GMT", None), (None, None)),
    ],
)
def test_a_wish_to_wait_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == (None if seconds is None else pytest.approx(seconds, abs=1e-3))


async def test_the_wish_to_wait_is_handed_on(secrets: Secrets) -> None:
    with pytest.raises(SendFailed) as caught:
        await webhook(answering(503, headers=((b"Retry-After", b"90"),)), secrets).send(notification(url=URL), begin)
    assert caught.value.retry_after == 90


@pytest.mark.parametrize("status", LATER)
async def test_a_host_is_ill_where_it_says_that_it_is_its_own_fault(secrets: Secrets, status: int) -> None:
    with pytest.raises(SendFailed) as caught:
        await webhook(answering(status), secrets).send(notification(url=URL), begin)
    assert caught.value.ill == (status >= 500)


async def test_without_its_authority_it_does_not_send_at_once(secrets: Secrets) -> None:
    recipient = answering(200)
    recipient.connected = True
    channel = webhook(recipient, secrets)
    assert channel.sends_at_once("org-1", notification(url=URL).destination)
    assert not channel.sends_at_once("org-1", notification(url=URL, ca="noc-ca").destination)
    assert not channel.sends_at_once("org-1", notification(url=URL, auth="outbound_token").destination)


async def test_what_a_recipient_repeats_of_ours_is_not_kept(secrets: Secrets) -> None:
    sent = {"url": f"{URL}hooks/T024BE7LD?key=s3cr3t-in-the-query", "secret": "noc", "auth": "outbound_token"}
    echoed: list[str] = []

    class Echo(Recipient):
        """Repeats the request as programs do that show what they got: as it is, and in JSON."""

        async def exchange(self, _: str, url: str, headers: Iterable[tuple[str, str]], *__: Any, **___: Any) -> Answer:
            lines = [url, *(value for name, value in headers if name in {"authorization", "webhook-signature"})]
            echoed.extend(word for line in lines for word in line.replace("v1,", "").split())
            text = "\n".join([*lines, *echoed, json.dumps(lines).replace("/", "\\/"), "ask noc+1@example.com"])
            return Answer(400, (), text.encode(), partial=False, times=(0.0, 0.0, 0.0))

    with pytest.raises(Rejected, match=r"^answered 400$") as caught:
        await webhook(Echo(), secrets, tokens=LongTokens()).send(notification(**sent), begin)
    kept = caught.value.answer
    assert "ask [redacted]" in kept
    for canary in (*echoed, "T024BE7LD", "s3cr3t-in-the-query", TOKEN, "noc+1", "example.com"):
        assert canary == "Bearer" or canary not in kept


# --- tokens -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_is_replaced_once(secrets: Secrets, status: int) -> None:
    tokens, recipient = Tokens(), answering(status, 200)
    await webhook(recipient, secrets, tokens=tokens).send(notification(url=URL, auth="outbound_token"), begin)
    assert [it["authorization"] for it in recipient.asked] == ["Bearer t1", "Bearer t2"]
    whose = ("org-1", "noc-hook", "https://hooks.example")
    assert tokens.asked == [(*whose, False), (*whose, True)]


async def test_the_claim_is_looked_at_before_each_of_two_tries(secrets: Secrets) -> None:
    looks: list[int] = []

    async def look() -> None:
        looks.append(len(recipient.asked))
        if len(looks) == 2:
            raise ClaimLost("taken over")

    recipient = answering(401, 200)
    with pytest.raises(ClaimLost):
        await webhook(recipient, secrets).send(notification(url=URL, auth="outbound_token"), look)
    assert looks == [0, 1]


async def test_a_fresh_token_that_is_refused_too_ends_it(secrets: Secrets) -> None:
    tokens = Tokens()
    channel = webhook(answering(401, 401), secrets, tokens=tokens)
    with pytest.raises(Rejected, match="answered 401"):
        await channel.send(notification(url=URL, auth="outbound_token"), begin)
    assert len(tokens.asked) == 2


async def test_without_auth_no_token_is_asked_for(secrets: Secrets) -> None:
    tokens = Tokens()
    with pytest.raises(Rejected):
        await webhook(answering(401), secrets, tokens=tokens).send(notification(url=URL), begin)
    assert tokens.asked == []


async def test_trouble_with_the_token_is_our_own_and_told_as_such(secrets: Secrets) -> None:
    class Away:
        async def token(self, *_: str, fresh: bool = False) -> str:
            raise ContextUnavailable(f"aaa is away {fresh}")

    recipient = answering(200)
    with pytest.raises(ContextUnavailable):
        await webhook(recipient, secrets, tokens=Away()).send(notification(url=URL, auth="outbound_token"), begin)
    assert recipient.asked == []


async def test_a_token_that_does_not_come_is_waited_for_no_longer_than_the_send_may_take(secrets: Secrets) -> None:
    class Hanging(Tokens):
        async def token(self, *whose: str, fresh: bool = False) -> str:
            await asyncio.Event().wait()
            return await super().token(*whose, fresh=fresh)

    recipient = Recipient()
    with pytest.raises(ContextUnavailable, match="did not come in time"):
        await webhook(recipient, secrets, tokens=Hanging(), deadline=0.01).send(
            notification(url=URL, auth="outbound_token"), begin
        )
    assert recipient.asked == []


async def test_both_tries_share_one_deadline(secrets: Secrets) -> None:
    watch = iter([100.0, 100.5, 103.0, 103.5, 109.0])
    clock = Watch()
    clock.monotonic = lambda: next(watch)  # type: ignore[method-assign]
    recipient = answering(401, 401)
    with pytest.raises(Rejected):
        await webhook(recipient, secrets, clock=clock, deadline=15.0).send(
            notification(url=URL, auth="outbound_token"), begin
        )
    assert recipient.deadlines == [12.0, 6.0]


@pytest.mark.parametrize(
    ("url", "resource"),
    [
        ("https://Hooks.EXAMPLE:443/x?y=1", "https://hooks.example"),
        ("https://hooks.example:8443/", "https://hooks.example:8443"),
        ("http://hooks.example:80/a", "http://hooks.example"),
        ("http://hooks.example:443", "http://hooks.example:443"),
        ("https://müller.example/x", "https://xn--mller-kva.example"),
        ("https://[2606:4700:0:0::1111]:443/x", "https://[2606:4700:0:0::1111]"),
    ],
)
async def test_a_token_is_asked_for_the_origin_of_the_url(secrets: Secrets, url: str, resource: str) -> None:
    tokens = Tokens()

    class Anything(Recipient):
        async def exchange(self, *_: Any, **__: Any) -> Answer:
            return self.answers.pop(0)

    recipient = Anything(*answering(200).answers)
    await webhook(recipient, secrets, tokens=tokens).send(notification(url=url, auth="outbound_token"), begin)
    assert [it[2] for it in tokens.asked] == [resource]


@pytest.mark.parametrize("host", [*("8.8.8.8", "public.example"), *("8.8.8.8:443", "public.example:8443")])
async def test_a_token_never_goes_over_http_to_a_public_address_whatever_its_name_and_port(
    monkeypatch: pytest.MonkeyPatch, secrets: Secrets, host: str
) -> None:
    monkeypatch.setattr(egress, "socket", SimpleNamespace(socket=lambda *_: pytest.fail("a socket was opened")))
    allow = Addresses(allowed=[AllowedNetwork.parse("10.0.0.0/8")], ports={80, 443, 8443}).check
    async with aclosing(AiohttpTransport(allow=allow, resolver=Names(), partial=True)) as transport:
        with pytest.raises(ForbiddenAddress, match="http:// is allowed to"):
            await webhook(transport, secrets).send(notification(url=f"http://{host}/", auth="outbound_token"), begin)


# --- what of ours is needed ------------------------------------------------------------------------------


def test_what_is_missing_is_said_once_a_destination_and_again_once_it_went_away_again(
    tmp_path: Path, secrets: Secrets
) -> None:
    notices = Notices(Watch())
    channel = webhook(answering(), secrets, notices=notices)
    file = tmp_path / "org-1" / "late"

    def look(**fields: Any) -> bool:
        try:
            channel.check("org-1", destination(url=URL, **fields))
        except SetupFault:
            return False
        return True

    with capture_logs() as logs:
        assert [look(secret="late") for _ in range(3)] == [False] * 3
        assert look(secret="noc")
        assert [(it.organization_id, it.destination_id, it.reason) for it in notices.waiting()] == [
            ("org-1", "noc-hook", "secret_missing")
        ]
        file.write_text(KEY)
        assert look(secret="late")
        assert notices.waiting() == []
        assert [look(), look()] == [True, True]
    assert [it["event"] for it in logs] == ["destination.secret_missing", "destination.unsigned"]
    assert str(file) in logs[0]["error"]


def test_what_was_said_is_remembered_of_so_many_destinations_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices_module, "MAX_DESTINATIONS", 3)
    notices = Notices(Watch())
    for number in range(10):
        notices.waits(("org-1", f"d-{number}", ""), SetupFault("missing", reason="secret_missing"))
        notices.unsigned(("org-1", f"d-{number}", ""))
    assert [it.destination_id for it in notices.waiting()] == ["d-7", "d-8", "d-9"]
    assert len(notices._unsigned) == 3


def test_a_destination_that_nobody_tries_any_more_is_not_named_for_long() -> None:
    clock = Watch()
    notices = Notices(clock)
    notices.waits(("org-1", "noc", ""), SetupFault("missing", reason="ca_missing"))
    clock.monotonic = lambda: 100.0 + LISTED_SECONDS + 1  # type: ignore[method-assign]
    assert notices.waiting() == []


# --- recipients that do not end ---------------------------------------------------------------------------


async def pours(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(status=int(request.query["status"]))
    await response.prepare(request)
    while True:
        await response.write(b"x" * 4096)


async def stops_short(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(status=int(request.query["status"]))
    await response.prepare(request)
    await response.write(b"well")
    await asyncio.Event().wait()
    return response


@pytest.mark.parametrize("script", [pours, stops_short])
async def test_of_an_answer_without_end_the_status_is_enough(
    engine: AiohttpTransport, secrets: Secrets, script: Callable[[web.Request], Any]
) -> None:
    async with receiver(script) as url:
        channel = webhook(engine, secrets, deadline=0.3)
        assert (await channel.send(notification(url=f"{url}?status=200"), begin)).text == "200"
        with pytest.raises(Gone):
            await channel.send(notification(url=f"{url}?status=410"), begin)


async def test_no_answer_is_unknown(engine: AiohttpTransport, secrets: Secrets) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with receiver(hang) as url:
        with pytest.raises(SendFailed) as caught:
            await webhook(engine, secrets, deadline=0.2).send(notification(url=url), begin)
        assert (caught.value.sent, caught.value.ill) == (Sent.UNKNOWN, True)


# --- destinations -----------------------------------------------------------------------------------------


def test_the_address_is_the_url(secrets: Secrets) -> None:
    channel = webhook(answering(200), secrets)
    assert channel.address(destination(url="https://hooks.example/x", secret="noc")) == "https://hooks.example/x"
    assert (channel.name, dict(channel.parts)) == ("webhook", {"json": False})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "url: Field required"),
        ({"url": 5}, "url: .*string"),
        ({"url": "https://user:word@hooks.example/"}, "url: .*names a user or a password"),
        ({"url": "ftp://hooks.example/", "auth": "basic"}, "url: .*auth: "),
        ({"url": URL, "secret": "../../etc/passwd"}, "secret: "),
        ({"url": URL, "secret": ".."}, "secret: "),
        ({"url": URL, "secret": "noc\n"}, "secret: "),
        ({"url": URL, "ca": "../ca"}, "ca: "),
        ({"url": "HTTP://127.0.0.1/", "ca": "noc"}, "ca: .*goes with an https:// URL"),
    ],
)
def test_a_field_that_breaks_a_rule_is_named(secrets: Secrets, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(SchemaViolation, match=f"noc-hook: {says}") as caught:
        webhook(answering(200), secrets).address(destination(**fields))
    assert "word" not in str(caught.value).replace("password", "")


async def test_what_was_not_rendered_for_a_webhook_breaks_the_schema(secrets: Secrets) -> None:
    recipient = answering(200)
    with pytest.raises(SchemaViolation, match="json"):
        await webhook(recipient, secrets).send(notification({"txt": "hello"}, url=URL), begin)
    assert recipient.asked == []


# --- never dialled ----------------------------------------------------------------------------------------

PUBLIC = "8.8.8.8"
NAMES = {
    "one.example": ["10.0.0.1"],
    "mixed.example": [PUBLIC, "10.0.0.1"],
    "mixed6.example": [PUBLIC, "::1"],
    "cname.example": [PUBLIC, "1.1.1.1", "169.254.9.9"],
    "six.example": ["fd00::1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "link.example": ["fe80::1%2"],
    "public.example": [PUBLIC],
    "xn--mller-kva.example": ["192.168.1.1"],
    "dot.example.": ["172.31.255.255"],
    "localhost": ["127.0.0.1", "::1"],
}


class Names(AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> Any:  # noqa: ARG002 - the interface
        return [{"hostname": host, "host": it, "port": port, "family": 0, "proto": 0, "flags": 0} for it in NAMES[host]]

    async def close(self) -> None:
        pass


INSIDE = [
    # as it is written
    *("127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.1.1", "100.64.0.1", "0.0.0.0"),
    *("192.0.0.1", "192.0.2.7", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1"),
    *("255.255.255.255", "localhost", "dot.example."),
    # short, decimal, hexadecimal, octal, with a dot behind
    *("127.1", "127.0.1", "10.1", "0", "2130706433", "3232235521", "0x7f000001", "0x7f.1", "0x7F.0x0.0x0.0x1", "0xa.1"),
    *("017700000001", "0177.0.0.1", "0177.1", "127.0.0.01", "127.0.0.1.", "2130706433.", "127.0.0.0x1"),
    # IPv6, and IPv4 within it
    *("[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:a00:1]"),
    *("[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::1]", "[2002:7f00:1::]"),
    *("[2002:a00:1::1]", "[2001::1]", "[2001:db8::1]", "[100::1]", "[3fff::1]", "[5f00::1]", "[fc00::1]", "[fd00::1]"),
    *("[fe80::1]", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[fe80::1%1]", "[fec0::1]", "[ff02::1]", "[::1%25lo]"),
    # who else it may seem to be
    *("user@127.0.0.1", "public.example@127.0.0.1", "public.example:443@10.0.0.1", "public.example\\@127.0.0.1"),
    *("１２７.0.0.1", "127。0。0。1", "①②⑦.0.0.1", "ⓛocalhost", "127%2e0%2e0%2e1", "127.0.0.1%00.example"),  # noqa: RUF001 - the point of it
    # names
    *("one.example", "mixed.example", "mixed6.example", "cname.example", "six.example", "nat64.example"),
    *("mapped.example", "link.example", "müller.example", "xn--mller-kva.example"),
    # public, but not through this filter
    *(f"{PUBLIC}:22", f"{PUBLIC}:80", "public.example:6379", "[2606:4700::1111]:25"),
]


@pytest.mark.parametrize(
    "url", [f"https://{host}/" for host in INSIDE] + [f"http://{PUBLIC}/", "http://public.example:8443/"]
)
async def test_an_inside_address_is_never_dialled(monkeypatch: pytest.MonkeyPatch, secrets: Secrets, url: str) -> None:
    monkeypatch.setattr(egress, "socket", SimpleNamespace(socket=lambda *_: pytest.fail("a socket was opened")))
    async with aclosing(AiohttpTransport(allow=Addresses().check, resolver=Names(), partial=True)) as transport:
        with pytest.raises((ForbiddenAddress, SchemaViolation)):
            await webhook(transport, secrets).send(notification(url=url), begin)


@pytest.mark.parametrize("url", [f"https://{PUBLIC}/", "https://public.example:8443/", "https://[2606:4700::1111]/"])
async def test_a_public_address_is(monkeypatch: pytest.MonkeyPatch, secrets: Secrets, url: str) -> None:
    def refuse(*_: Any) -> socket.socket:
        raise ConnectionRefusedError(111, "dialled")

    monkeypatch.setattr(egress, "socket", SimpleNamespace(socket=refuse))
    async with aclosing(AiohttpTransport(allow=Addresses().check, resolver=Names(), partial=True)) as transport:
        with pytest.raises(SendFailed, match="dialled") as caught:
            await webhook(transport, secrets).send(notification(url=url), begin)
    assert caught.value.sent is Sent.NOTHING


def test_a_destination_with_fields_of_any_length_is_not_kept() -> None:
    """A parked notification may carry megabytes in a field that no channel reads."""
    kept = dict(target_of.__dict__["_made"])
    odd = Destination.model_validate(
        {"destination_id": "d", "channel": "webhook", "url": "https://a.example/", "notes": "x"}
    )
    assert target_of(odd).url == "https://a.example/"
    assert target_of.__dict__["_made"] == kept
