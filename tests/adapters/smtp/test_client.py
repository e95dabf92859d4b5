"""The mail server adapter against aiosmtpd, and against a scripted server for what no honest server says."""

import asyncio
import errno
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from notification_sender.adapters.smtp.client import Smtp
from notification_sender.adapters.smtp.server import Server
from notification_sender.adapters.tls import Tls, TlsFile, TlsOptions
from notification_sender.model.errors import (
    ClaimLost,
    ConfigurationFault,
    Rejected,
    SenderRefused,
    SendFailed,
    Sent,
    SlowDown,
    Unready,
)
from tests.patience import stretched

MESSAGE = b"Subject: x\r\n\r\n.dot\r\n"

# What a scripted server answers to the lines of a message: nothing, until the dot.
TAKING: dict[bytes, bytes | None] = {b"DATA": b"354 go on", b"SUBJECT:": b"", b"": b"", b"..DOT": b""}


async def ours() -> None:
    """The claim is still ours."""


class Inbox:
    """An honest server: it counts connections, and answers with what a test gives it."""

    def __init__(self, rcpt: str = "250 OK", data: str = "250 queued as 42") -> None:
        self.rcpt, self.data = rcpt, data
        self.connections: set[Any] = set()
        self.mails: list[tuple[str, list[str], bytes]] = []

    async def handle_RCPT(self, _server: Any, session: Any, envelope: Any, to: str, _options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.connections.add(session.peer)
        if self.rcpt.startswith("2"):
            envelope.rcpt_tos.append(to)
        return self.rcpt

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return self.data


@asynccontextmanager
async def served(inbox: Inbox, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(inbox, enable_SMTPUTF8=False, **options), "127.0.0.1", 0, ssl=tls
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[int]:
    """A server that runs ``script`` for each connection, until the test is over."""
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(task := asyncio.current_task())  # type: ignore[arg-type]
        try:
            await script(reader, writer)
        except (asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()
            running.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running)


def dialogue(answers: dict[bytes, bytes | None], heard: list[bytes] | None = None) -> Script:
    """Answer each line by its first word; None: hang up instead. What is not in the table gets 250."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.get(b"BANNER", b"220 hello") + b"\r\n")
        while line := await reader.readline():
            word = line.split()[0].upper() if line.strip() else b""
            if heard is not None:
                heard.append(word)
            answer = answers.get(word, b"250 ok")
            if answer is None:
                return
            if answer:
                writer.write(answer + b"\r\n")

    return script


def plain(port: int, **options: Any) -> Smtp:
    return Smtp(Server.parse(f"smtp://127.0.0.1:{port}?starttls=none"), **options)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(  # noqa: S603 - made from constants
        ["openssl", *made.split(), "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],  # noqa: S607 - found on the path
        check=True,
        capture_output=True,
    )
    return key, cert


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate[1], certificate[0])
    return context


@pytest.fixture
def trusting(certificate: tuple[Path, Path]) -> Tls:
    return Tls(TlsOptions("the mail server", "NS_SMTP", ca=TlsFile(certificate[1], "NS_SMTP_CA")))


async def test_a_message_arrives_with_its_envelope_and_its_dots() -> None:
    async with served(inbox := Inbox()) as port:
        mailer = plain(port)
        receipt = await mailer.send("noc@example.com", "to@example.com", MESSAGE, ours)
        assert receipt.text == "250 queued as 42"
        await mailer.close()
    assert inbox.mails == [("noc@example.com", ["to@example.com"], MESSAGE)]


async def test_one_connection_is_used_again_also_after_a_refusal() -> None:
    async with served(inbox := Inbox()) as port:
        mailer = plain(port)
        await mailer.send("a@example.com", "b@example.com", MESSAGE, ours)
        inbox.rcpt = "550 no such user"
        with pytest.raises(Rejected):
            await mailer.send("a@example.com", "c@example.com", MESSAGE, ours)
        inbox.rcpt = "250 OK"
        await mailer.send("a@example.com", "d@example.com", MESSAGE, ours)
        await mailer.close()
    assert len(inbox.connections) == 1
    assert [to for _, to, _ in inbox.mails] == [["b@example.com"], ["d@example.com"]]


async def test_at_most_so_many_connections_as_allowed() -> None:
    async with served(inbox := Inbox()) as port:
        mailer = plain(port, connections=2)
        await asyncio.gather(*(mailer.send("a@example.com", f"u{n}@example.com", MESSAGE, ours) for n in range(12)))
        await mailer.close()
    assert len(inbox.mails) == 12
    assert len(inbox.connections) <= 2


async def test_the_connections_are_given_to_organizations_by_turns() -> None:
    async with served(inbox := Inbox()) as port:
        mailer = plain(port, connections=2)

        def send(organization: str, number: int) -> Awaitable[Any]:
            to = f"{organization}-{number}@example.com"
            return mailer.send("a@example.com", to, MESSAGE, ours, organization=organization)

        await asyncio.gather(*(send("many", number) for number in range(200)), *(send(it, 0) for it in ("one", "two")))
        await mailer.close()
    order = [to for _, [to], _ in inbox.mails]
    assert len(order) == 202
    assert {"one-0@example.com", "two-0@example.com"} <= set(order[:6])


@pytest.mark.parametrize(
    ("stage", "code", "outcome", "ill"),
    [
        (b"MAIL", 451, Sent.ANSWERED, False),
        (b"RCPT", 450, Sent.ANSWERED, False),
        (b"RCPT", 421, Sent.ANSWERED, True),
        (b"DATA", 452, Sent.ANSWERED, False),
        (b".", 451, Sent.ANSWERED, False),
        (b"BANNER", 421, Sent.NOTHING, True),
        (b"MAIL", 999, Sent.NOTHING, True),
        (b".", 999, Sent.UNKNOWN, True),
        (b"RCPT", 550, None, None),
        (b"DATA", 554, None, None),
        (b".", 554, None, None),
    ],
)
async def test_an_answer_says_whether_to_try_again(
    stage: bytes,
    code: int,
    outcome: Sent | None,
    ill: bool | None,  # noqa: FBT001 - a row of the table
) -> None:
    async with scripted(dialogue(TAKING | {stage: b"%d because\xff" % code})) as port:
        mailer = plain(port)
        with pytest.raises(SendFailed if outcome else Rejected) as caught:
            await mailer.send("a@example.com", "b@example.com", MESSAGE, ours)
        await mailer.close()
    assert (getattr(caught.value, "sent", None), getattr(caught.value, "ill", None)) == (outcome, ill)
    assert "because" in caught.value.answer
    caught.value.answer.encode()  # can be written down, whatever the server's bytes were


@pytest.mark.parametrize(
    ("stage", "sent"),
    [
        (b"EHLO", Sent.NOTHING),
        (b"MAIL", Sent.NOTHING),
        (b"RCPT", Sent.NOTHING),
        (b"DATA", Sent.UNKNOWN),
        (b"SUBJECT:", Sent.UNKNOWN),
        (b".", Sent.UNKNOWN),
    ],
)
async def test_a_drop_is_unknown_once_the_message_began(stage: bytes, sent: Sent) -> None:
    async with scripted(dialogue(TAKING | {stage: None})) as port:
        with pytest.raises(SendFailed) as caught:
            await plain(port).send("a@example.com", "b@example.com", MESSAGE, ours)
    assert (caught.value.sent, caught.value.ill) == (sent, True)


@pytest.mark.parametrize(("stage", "sent"), [(b"MAIL", Sent.NOTHING), (b"RCPT", Sent.NOTHING), (b".", Sent.UNKNOWN)])
async def test_silence_ends_with_the_deadline(stage: bytes, sent: Sent) -> None:
    deadline = stretched(0.2)
    async with scripted(dialogue(TAKING | {stage: b""})) as port:
        with pytest.raises(SendFailed, match=f"not finished within {deadline:g} s") as caught:
            await plain(port, timeout=deadline).send("a@example.com", "b@example.com", MESSAGE, ours)
    assert (caught.value.sent, caught.value.ill) == (sent, True)


async def test_who_gets_no_connection_in_time_has_used_no_attempt_and_begins_nothing() -> None:
    async with served(inbox := Inbox()) as port:
        mailer = plain(port, timeout=stretched(0.2), connections=1)
        async with mailer._place("org"):
            with pytest.raises(SlowDown):
                await mailer.send("a@example.com", "b@example.com", MESSAGE, ours)
        await mailer.send("a@example.com", "c@example.com", MESSAGE, ours)
        await mailer.close()
    assert [to for _, to, _ in inbox.mails] == [["c@example.com"]]


async def hangs_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Takes the connection, and that is all."""


async def says_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("server", [hangs_up, says_nothing])
async def test_a_server_that_does_not_greet_got_nothing(server: Script) -> None:
    async with scripted(server) as port:
        with pytest.raises(SendFailed) as caught:
            await plain(port, connect_timeout=0.1).send("a@example.com", "b@example.com", MESSAGE, ours)
    assert (caught.value.sent, caught.value.ill) == (Sent.NOTHING, True)


async def test_the_claim_is_looked_at_once_the_recipient_is_taken_and_before_the_message() -> None:
    heard: list[bytes] = []

    async def begin() -> None:
        heard.append(b"begin")

    async with scripted(dialogue(TAKING, heard)) as port:
        mailer = plain(port)
        await mailer.send("a@example.com", "b@example.com", MESSAGE, begin)
        await mailer.close()
    assert heard[:5] == [b"EHLO", b"MAIL", b"RCPT", b"begin", b"DATA"]


@pytest.mark.parametrize("lost", [ClaimLost("it ran out"), Unready("Redis is away")])
async def test_without_the_claim_nothing_is_sent_and_the_connection_is_good_for_the_next(lost: Exception) -> None:
    async def begin() -> None:
        raise lost

    async with served(inbox := Inbox()) as port:
        mailer = plain(port)
        with pytest.raises(type(lost)):
            await mailer.send("a@example.com", "b@example.com", MESSAGE, begin)
        assert inbox.mails == []
        await mailer.send("a@example.com", "c@example.com", MESSAGE, ours)
        await mailer.close()
    assert [to for _, to, _ in inbox.mails] == [["c@example.com"]]
    assert len(inbox.connections) == 1


async def test_the_look_at_the_claim_is_within_the_deadline() -> None:
    async with served(inbox := Inbox()) as port:
        mailer = plain(port, timeout=stretched(0.2))
        with pytest.raises(SendFailed, match="not finished") as caught:
            await mailer.send("a@example.com", "b@example.com", MESSAGE, asyncio.Event().wait)
    assert caught.value.sent is Sent.NOTHING
    assert inbox.mails == []


@pytest.mark.parametrize(
    ("stage", "answer", "connections"),
    [
        (b"BANNER", b"421 4.7.0 Too many connections", 2),
        (b"MAIL", b"421 4.7.0 Too many messages on this connection", 2),
        (b"MAIL", b"450 4.7.1 Too many messages", 1),
        (b"RCPT", b"450 4.7.1 Too many recipients from 192.0.2.1", 1),
        (b"DATA", b"454 Throttling failure: Maximum sending rate exceeded.", 1),
        (b".", b"454 Throttling failure: Maximum sending rate exceeded.", 1),
    ],
)
async def test_a_server_that_has_too_much_to_do_is_no_failure_of_the_message(
    stage: bytes, answer: bytes, connections: int
) -> None:
    called: list[None] = []
    conversation = dialogue(TAKING | {stage: answer})

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.append(None)
        await conversation(reader, writer)

    async with scripted(script) as port:
        mailer = plain(port)
        for _ in range(2):
            with pytest.raises(SlowDown):
                await mailer.send("a@example.com", "b@example.com", MESSAGE, ours)
        await mailer.close()
    assert len(called) == connections


async def test_a_kept_connection_that_died_is_replaced() -> None:
    heard: list[bytes] = []
    async with scripted(dialogue(TAKING | {b"RSET": None}, heard)) as port:
        mailer = plain(port)
        for _ in range(2):
            assert (await mailer.send("a@example.com", "b@example.com", MESSAGE, ours)).text == "250"
        await mailer.close()
    assert heard.count(b"EHLO") == 2


async def test_nobody_listening_is_nothing_sent() -> None:
    async with served(Inbox()) as port:
        pass
    with pytest.raises(SendFailed) as caught:
        await plain(port).send("a@example.com", "b@example.com", MESSAGE, ours)
    assert caught.value.sent is Sent.NOTHING


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
async def test_that_no_more_connections_can_be_opened_is_no_failure_of_a_message(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: Any, **__: Any) -> socket.socket:
        raise OSError(number, "too many open files")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(Unready, match="no more connections"):
        await plain(2525).send("a@example.com", "b@example.com", MESSAGE, ours)


async def test_starttls_and_credentials(server_tls: ssl.SSLContext, trusting: Tls) -> None:
    seen: list[tuple[bytes, bytes]] = []

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: Any, data: Any) -> AuthResult:
        seen.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss/word", handled=False)

    options = {"tls_context": server_tls, "require_starttls": True, "authenticator": check, "auth_required": True}
    async with served(inbox := Inbox(), **options) as port:
        right = Smtp(Server.parse(f"smtp://user:p%40ss%2Fword@localhost:{port}"), tls=trusting)
        await right.send("a@example.com", "b@example.com", MESSAGE, ours)
        await right.close()
        wrong = Smtp(Server.parse(f"smtp://user:wrong@localhost:{port}"), tls=trusting)
        with pytest.raises(SenderRefused, match=r"535 5\.7\.8 login refused") as caught:
            await wrong.send("a@example.com", "b@example.com", MESSAGE, ours)
        await wrong.close()
    assert caught.value.of_all
    assert seen[0] == (b"user", b"p@ss/word")
    assert len(inbox.mails) == 1


async def test_the_trust_store_is_read_once_and_not_for_a_server_without_tls(
    server_tls: ssl.SSLContext, certificate: tuple[Path, Path]
) -> None:
    read: list[str] = []

    def system() -> ssl.SSLContext:
        read.append("now")
        return ssl.create_default_context(cafile=certificate[1])

    tls = Tls(TlsOptions("the mail server", "NS_SMTP"), system=system)
    async with served(Inbox()) as port:
        mailer = plain(port, tls=tls)
        await mailer.send("a@example.com", "b@example.com", MESSAGE, ours)
        await mailer.close()
    assert read == []
    async with served(inbox := Inbox(), tls=server_tls) as port:
        mailer = Smtp(Server.parse(f"smtps://localhost:{port}"), connections=2, tls=tls)
        await asyncio.gather(*(mailer.send("a@example.com", "b@example.com", MESSAGE, ours) for _ in range(2)))
        await mailer.close()
    assert (read, len(inbox.mails)) == (["now"], 2)


async def test_smtps(server_tls: ssl.SSLContext, trusting: Tls) -> None:
    async with served(inbox := Inbox(), tls=server_tls) as port:
        mailer = Smtp(Server.parse(f"smtps://localhost:{port}"), tls=trusting)
        await mailer.send("a@example.com", "b@example.com", MESSAGE, ours)
        await mailer.close()
    assert len(inbox.mails) == 1


async def test_a_stripped_starttls_is_refused_and_nothing_goes_in_the_open() -> None:
    heard: list[bytes] = []
    async with scripted(dialogue({}, heard)) as port:
        with pytest.raises(SendFailed, match="STARTTLS") as caught:
            await Smtp(Server.parse(f"smtp://u:p@127.0.0.1:{port}")).send("a@e.com", "b@e.com", MESSAGE, ours)
    assert (caught.value.sent, caught.value.ill) == (Sent.NOTHING, True)
    assert heard == [b"EHLO"]


@pytest.mark.parametrize("answer", [b"454 4.7.0 TLS not available", b"500 what?", None])
async def test_a_starttls_that_is_refused_ends_it_before_anything_goes_in_the_open(answer: bytes | None) -> None:
    heard: list[bytes] = []
    async with scripted(dialogue({b"EHLO": b"250 STARTTLS", b"STARTTLS": answer}, heard)) as port:
        with pytest.raises(SendFailed) as caught:
            await Smtp(Server.parse(f"smtp://u:p@127.0.0.1:{port}")).send("a@e.com", "b@e.com", MESSAGE, ours)
    assert (caught.value.sent, caught.value.ill) == (Sent.NOTHING, True)
    assert set(heard) <= {b"EHLO", b"STARTTLS", b"QUIT"}


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_a_self_signed_certificate_is_refused(scheme: str, server_tls: ssl.SSLContext) -> None:
    options = {"tls": server_tls} if scheme == "smtps" else {"tls_context": server_tls}
    async with served(inbox := Inbox(), **options) as port:
        with pytest.raises(SendFailed, match="certificate") as caught:
            await Smtp(Server.parse(f"{scheme}://localhost:{port}")).send("a@e.com", "b@e.com", MESSAGE, ours)
    assert caught.value.sent is Sent.NOTHING
    assert inbox.mails == []


async def test_a_certificate_of_another_name_is_refused(server_tls: ssl.SSLContext, trusting: Tls) -> None:
    async with served(Inbox(), tls_context=server_tls) as port:
        with pytest.raises(SendFailed, match="certificate") as caught:
            await Smtp(Server.parse(f"smtp://127.0.0.1:{port}"), tls=trusting).send("a@e.com", "b@e.com", MESSAGE, ours)
    assert caught.value.sent is Sent.NOTHING


@pytest.mark.parametrize(
    ("url", "port", "starttls"),
    [
        ("smtp://h", 587, True),
        ("smtps://h", 465, False),
        ("smtp://h?starttls=none", 25, False),
        ("smtp://h:2525", 2525, True),
    ],
)
def test_the_port_follows_from_the_scheme(url: str, port: int, starttls: bool) -> None:  # noqa: FBT001 - a row of the table
    server = Server.parse(url)
    assert (server.port, server.starttls) == (port, starttls)


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "smtp://",
        "smtp://h:0x",
        "smtp://h?tls=1",
        "smtp://h?starttls=maybe",
        "smtp://u:secret@h?starttls=none",
        "smtp://h/x",
    ],
)
def test_a_url_that_cannot_work_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        Server.parse(url)
    assert "secret" not in str(caught.value)


def test_the_password_is_not_printed() -> None:
    assert "secret" not in repr(Server.parse("smtps://u:secret@h"))


def limited(messages: int, refusal: bytes, called: list[None]) -> Script:
    """A server that takes so many messages on a connection and then answers MAIL with ``refusal``, or hangs up."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.append(None)
        writer.write(b"220 hello\r\n")
        taken = 0
        while line := await reader.readline():
            word = line.split()[0].upper() if line.strip() else b""
            if word == b"MAIL" and taken == messages:
                if not refusal:
                    return
                writer.write(refusal + b"\r\n")
                continue
            taken += word == b"."
            if answer := TAKING.get(word, b"250 ok"):
                writer.write(answer + b"\r\n")

    return script


@pytest.mark.parametrize(
    "refusal",
    [
        b"421 4.7.0 Too many messages in this session",
        b"421 closing",
        b"452 4.5.3 Too many recipients",
        b"451 4.7.1 Maximum of 3 messages per connection reached",
        b"554 5.7.0 session limit of messages reached",
        b"",
    ],
)
async def test_a_limit_of_a_session_costs_a_connection_and_no_attempt(refusal: bytes) -> None:
    called: list[None] = []
    async with scripted(limited(3, refusal, called)) as port:
        mailer = plain(port)
        for _ in range(10):
            await mailer.send("a@example.com", "b@example.com", MESSAGE, ours)
        await mailer.close()
    assert len(called) == 4


async def test_a_kept_connection_that_refuses_a_recipient_is_believed() -> None:
    called: list[None] = []
    async with scripted(limited(3, b"450 4.2.0 Greylisted", called)) as port:
        mailer = plain(port)
        for _ in range(3):
            await mailer.send("a@example.com", "b@example.com", MESSAGE, ours)
        with pytest.raises(SendFailed):
            await mailer.send("a@example.com", "b@example.com", MESSAGE, ours)
        await mailer.close()
    assert len(called) == 1


@pytest.mark.parametrize(("given", "said"), [("noc.example.com", b"noc.example.com"), (None, None)])
async def test_our_name_is_the_given_one_or_a_full_one_or_our_address(
    given: str | None, said: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while line := await reader.readline():
            if line.startswith(b"EHLO"):
                names.append(line.split()[1])
            writer.write(b"550 5.7.1 no\r\n" if line.startswith(b"RCPT") else b"250 ok\r\n")

    for full in ("worker-7f9c", "localhost.localdomain", "worker.example.com"):
        monkeypatch.setattr(socket, "getfqdn", lambda full=full: full)
        async with scripted(script) as port:
            mailer = plain(port, name=given)
            with pytest.raises(Rejected):
                await mailer.send("a@example.com", "b@example.com", MESSAGE, ours)
            await mailer.close()
    assert names == ([said] * 3 if said else [b"[127.0.0.1]", b"[127.0.0.1]", b"worker.example.com"])


async def test_a_server_that_knows_no_ehlo_is_greeted_as_before() -> None:
    heard: list[bytes] = []
    async with scripted(dialogue(TAKING | {b"EHLO": b"502 not implemented"}, heard)) as port:
        await plain(port).send("a@example.com", "b@example.com", MESSAGE, ours)
    assert heard[:2] == [b"EHLO", b"HELO"]


async def test_refusals_of_us_in_a_row_hold_the_server_and_one_among_others_does_not() -> None:
    answers = dict(TAKING)
    async with scripted(dialogue(answers)) as port:
        mailer = plain(port)
        held = []
        for refused in (True, False, True, True, False, True, True, True, True):
            answers[b"RCPT"] = b"504 5.5.2 Helo command rejected: need a full name" if refused else b"250 ok"
            try:
                await mailer.send("a@example.com", "b@example.com", MESSAGE, ours)
            except SenderRefused as fault:
                held.append(fault.of_all)
        await mailer.close()
    assert held == [False, False, False, False, False, True, True]
