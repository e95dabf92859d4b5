"""Whatever fails, and whatever others say of it: no secret, token, address or content where operators look."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import orjson
import pytest
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue

from notification_sender.sandbox.platform.platform import CLIENT_SECRET
from tests.e2e.fleet import Worker
from tests.faults.echo_servers import EchoServer, echo_mail_server
from tests.faults.rig import Rig
from tests.faults.rows import row
from tests.patience import option
from tests.services.program import HOST, free_port

ANSWERS = (200, 302, 400, 401, 403, 410, 429, 500, 503, "hang")
MAILS = ("250", "450", "550", "data-250", "data-452", "data-554")


def failing() -> dict[str, str]:
    return {"NS_RETRY_SCHEDULE": "1s", "NS_SEND_TIMEOUT": option(1)}


class Canaries:
    """One for each thing that is to stay where it is. ``values`` by what they are."""

    def __init__(self) -> None:
        names = ("signing", "address", "body", "url", "userinfo", "amqp", "redis", "smtp", "wrong")
        self.values = {name: f"canary{name}{secrets.token_hex(6)}" for name in names}
        self.values["key"] = base64.b64encode(self["signing"].encode()).decode()
        self.values["client secret"] = CLIENT_SECRET

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    @property
    def smtp_url(self) -> str:
        """Of a server that is not there; a password wants TLS."""
        return f"smtps://user:{self['smtp']}@{HOST}:{free_port()}"

    def seen(self, texts: Iterable[str]) -> dict[str, str]:
        """What is seen, and the words around it."""
        seen = {}
        for name, value in self.values.items():
            for text in texts:
                if (at := text.find(value)) >= 0:
                    seen[name] = text[max(0, at - 150) : at + 100]
        return seen


@pytest.fixture
async def canaries(rig: Rig) -> AsyncIterator[Canaries]:
    """In the signing key, the world's records, and the users of the broker and the store."""
    canaries = Canaries()
    rig.environment["NS_SHARED_SECRETS"] += ",canary"
    (Path(rig.environment["NS_SECRETS_DIR"]) / "canary").write_text(f"whsec_{canaries['key']}\n")
    for organization in rig.sandbox.world.organizations.values():
        organization["name"] = canaries["body"]
    user = f"canary-{secrets.token_hex(4)}"
    await asyncio.to_thread(rig.rabbitmq.ctl, "add_user", user, canaries["amqp"])
    await asyncio.to_thread(rig.rabbitmq.ctl, "set_permissions", user, ".*", ".*", ".*")
    await rig.ask("ACL", "SETUSER", user, "on", f">{canaries['redis']}", "~*", "&*", "+@all")
    rig.environment |= {
        "NS_AMQP_URL": rig.rabbitmq.url.replace("guest:guest", f"{user}:{canaries['amqp']}"),
        "NS_REDIS_URL": rig.redis.url.replace("//", f"//{user}:{canaries['redis']}@"),
    }
    yield canaries
    await rig.ask("ACL", "DELUSER", user)


@pytest.fixture
async def echo_server() -> AsyncIterator[EchoServer]:
    echo_server = EchoServer()
    async with echo_server.server.serving():
        yield echo_server


def destinations(echo_server: EchoServer, canaries: Canaries) -> list[dict[str, Any]]:
    """Every answer, to a webhook with a signature and a token, to an email; and addresses that are none."""
    urls = [f"{echo_server.url(it)}/{canaries['url']}" for it in ANSWERS]
    urls += [
        f"http://{HOST}:{free_port()}/{canaries['url']}",
        f"https://10.0.0.1/{canaries['url']}",
        f"https://user:{canaries['userinfo']}@named.invalid/",
        f"http://plain.invalid/{canaries['url']}",
        f"https://nowhere.invalid/{canaries['url']}",
        f"no url {canaries['url']}",
    ]
    hooks = [{"channel": "webhook", "url": it, "secret": "canary", "auth": "outbound_token"} for it in urls]
    mails = [{"channel": "email", "to": f"{canaries['address']}-{it}@example.com"} for it in MAILS]
    mails.append({"channel": "email", "to": f"{canaries['address']} is none"})
    return [it | {"destination_id": f"to-{n}", "template": "intel"} for n, it in enumerate(hooks + mails)]


DELIVERED = 3
"""The webhook that is answered 200 and the emails answered 250."""


@asynccontextmanager
async def listening(rig: Rig) -> AsyncIterator[AbstractQueue]:
    """To every event; once the workers are there."""
    async with await aio_pika.connect(rig.rabbitmq.url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(f"{rig.prefix}.events", "#")
        yield queue


async def everything(queue: AbstractQueue) -> list[AbstractIncomingMessage]:
    found = []
    while (message := await queue.get(fail=False, no_ack=True)) is not None:
        found.append(message)
    return found


async def shown(worker: Worker) -> list[str]:
    """Everything it wrote, and what it answers to those who ask."""
    return [*worker.raw, (await worker.get("/metrics")).text, (await worker.get("/status")).text]


@row(87, "canaries in every secret, token, address and body")
async def test_none_is_seen_whatever_fails(rig: Rig, canaries: Canaries, echo_server: EchoServer) -> None:
    texts = await locked_out(rig, NS_AAA_URL=echo_server.url("turns"), NS_SMTP_URL=canaries.smtp_url)
    texts += await locked_out(rig, NS_INTEL_REQUESTS_URL=echo_server.url("turns"))
    units = [rig.unit(channels=None, destinations=[it]) for it in destinations(echo_server, canaries)]
    async with (
        echo_mail_server() as mail,
        rig.victim(NS_SMTP_URL=mail, **failing()) as victim,
        listening(rig) as events,
    ):
        await rig.publish(units)
        victim.store.reset()
        victim.broker.reset()
        letters = await rig.broker.dead(len(units) - DELIVERED)
        told = await everything(events)
        texts += [f"{it.routing_key} {it.headers} {it.body.decode()}" for it in told]
        texts += await shown(victim.worker)
    texts += [orjson.dumps(letter.headers, default=str).decode() for letter in letters]
    canaries.values |= {f"token {n}": it for n, it in enumerate(rig.sandbox.platform.tokens._grants)}
    heard = canaries.seen(echo_server.heard).keys()
    assert heard >= {"body", "url", "client secret"}
    assert len([name for name in heard if name.startswith("token")]) > 1
    assert len(told) >= len(letters)
    assert canaries.seen(texts) == {}
    # A recipient's own words stand there, and may be ours; but nothing that is secret.
    assert canaries.seen(await recorded(rig)).keys() <= {"body"}


async def recorded(rig: Rig) -> list[str]:
    """What the ledger keeps of every notification: its attempts, with the first words of each answer."""
    keys = await rig.ask("KEYS", f"{rig.prefix}:1:*:notification:*")
    read = {"hash": ("HGETALL", ()), "list": ("LRANGE", ("0", "-1"))}
    kinds = {key: read[await rig.ask("TYPE", key)] for key in keys}
    return [str(await rig.ask(command, key, *which)) for key, (command, which) in kinds.items()]


async def locked_out(rig: Rig, **variables: str) -> list[str]:
    """What is shown by a worker that cannot gather anything."""
    async with rig.workers(1, **failing(), **variables) as (worker,):
        await rig.publish(rig.units(5))
        await worker.says("unit.deferred", times=5, reason="context_unavailable")
        return await shown(worker)


@row(87, "canaries in refused passwords")
@pytest.mark.parametrize("variable", ["NS_AMQP_URL", "NS_REDIS_URL"])
async def test_a_refused_password_is_not_said(rig: Rig, canaries: Canaries, variable: str) -> None:
    right = canaries["amqp" if variable == "NS_AMQP_URL" else "redis"]
    worker = Worker(rig.environment | {variable: rig.environment[variable].replace(right, canaries["wrong"])})
    await worker.start()
    assert await worker.ended() == 78
    assert worker.raw
    assert canaries.seen(worker.raw) == {}
