"""Mail servers that refuse us, or take only so much at once: no recipient is at fault, and no email is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.e2e.broker import Broker
from tests.e2e.fleet import fleet
from tests.faults.rows import record, row
from tests.patience import patience

Make = Callable[..., dict[str, Any]]


class Relay:
    """Wants a full name at EHLO and says so late, as Postfix does; takes ``most`` messages on a connection."""

    def __init__(self, most: int = 1000) -> None:
        self.most = most
        self.names: list[str] = []
        self.accepted: list[str] = []
        self.sessions: set[object] = set()
        self.arrived = asyncio.Condition()

    async def handle_EHLO(  # noqa: N802 - aiosmtpd finds its hooks by these names
        self, _server: Any, session: Session, _envelope: Envelope, name: str, answers: list[str]
    ) -> list[str]:
        session.host_name = name
        self.names.append(name)
        return answers

    async def handle_MAIL(  # noqa: N802 - as above
        self, _server: Any, session: Any, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if getattr(session, "taken", 0) >= self.most:
            return "421 4.7.0 Too many messages in this session"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - as above
        self, _server: Any, session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        name = session.host_name or ""
        if "." not in name:
            return f"504 5.5.2 <{name}>: Helo command rejected: need fully-qualified hostname, try again in 1 second"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802 - as above
        session.taken = getattr(session, "taken", 0) + 1
        self.sessions.add(session.peer)
        async with self.arrived:
            self.accepted += envelope.rcpt_tos
            self.arrived.notify_all()
        return "250 OK"

    async def accepts(self, count: int) -> None:
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.accepted) >= count)


@asynccontextmanager
async def served(relay: Relay) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(relay, hostname="relay.example"), "127.0.0.1", 0)
    async with server:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}?starttls=none"


@row(123, "a mail server that wants a full name of us")
async def test_a_server_that_dislikes_our_name_kills_no_email_and_gets_all_when_the_name_is_set(
    hasty: dict[str, str], broker: Broker, unit: Make, mail: Make
) -> None:
    people = [f"p{number}" for number in range(5)]
    async with served(relay := Relay()) as url, patience(120):
        environment = hasty | {"NS_SMTP_URL": url}
        async with fleet(environment | {"NS_EMAIL_HELO": "[IPv6:::1]"}) as (worker,):
            await broker.publish([unit(channels=None, destinations=[mail(name) for name in people])])
            await worker.says("notification.deferred", reason="sender_rejected", attempt=1)
            said = await worker.says("email.sender_rejected")
            assert await worker.stop() == 0
        assert relay.accepted == []
        async with fleet(environment | {"NS_EMAIL_HELO": "worker.example.com"}) as (worker,):
            await relay.accepts(len(people))
            delivered = [await worker.says("notification.delivered", times=n + 1) for n in range(len(people))]
    assert said["answer"] == "504 5.5.2 recipient refused"
    assert sorted(relay.accepted) == sorted(f"{name}@example.com" for name in people)
    assert {it["attempt"] for it in delivered} == {1}
    assert [it for it in worker.events if it["event"] == "notification.dead"] == []
    record(accounted=f"{len(people)} of {len(people)}", duplicates="0 (≤ 0)")


@row(124, "a mail server that takes ten messages a session")
@pytest.mark.parametrize("most", [1, 10])
async def test_a_limit_of_a_session_delays_nobody(
    hasty: dict[str, str], broker: Broker, unit: Make, mail: Make, most: int
) -> None:
    people = [f"p{number}" for number in range(31)]
    async with served(relay := Relay(most)) as url, patience(120):
        environment = hasty | {"NS_SMTP_URL": url, "NS_EMAIL_HELO": "worker.example.com"}
        async with fleet(environment) as (worker,):
            await broker.publish([unit(channels=None, destinations=[mail(name) for name in people])])
            await relay.accepts(len(people))
            await worker.says("notification.delivered", times=len(people))
            put_off = [it for it in worker.events if it["event"] in ("notification.deferred", "notification.failed")]
    assert sorted(relay.accepted) == sorted(f"{name}@example.com" for name in people)
    assert put_off == []
    assert len(relay.sessions) >= len(people) // most
    record(accounted=f"{len(people)} of {len(people)}", duplicates="0 (≤ 0)")
