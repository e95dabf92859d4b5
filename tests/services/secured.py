"""RabbitMQ and Redis over TLS with client certificates, and for users who may do no more than a worker does."""

import asyncio
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.services.certificates import Certificate, certificate, issued
from tests.services.program import HOST, free_port
from tests.services.rabbitmq import RabbitMQ
from tests.services.redis import Redis, with_tls

DEPLOY = Path(__file__).parents[2] / "deploy"
USER, PASSWORD = "worker", "n0t-guessed"
LOGIN = f"{USER}:{PASSWORD}@{HOST}"
QUEUES, KEYS = "test-[0-9a-f]+", "[nt]*"
"""The prefixes of the tests, as RabbitMQ and as Redis writes a pattern."""


@dataclass(frozen=True, slots=True)
class Identities:
    """An authority, and what it has signed: for all servers, and for the worker."""

    authority: Certificate
    server: Certificate
    worker: Certificate

    @classmethod
    def made(cls, folder: Path) -> "Identities":
        authority = certificate(folder / "authority", "DNS:authority")
        server, worker = (issued(folder / name, authority, f"IP:{HOST}") for name in ("server", "worker"))
        return cls(authority, server, worker)

    def variables(self, *connections: str) -> dict[str, str]:
        """The files of these connections, as a worker is given them."""
        files = {"CA": self.authority.certificate, "CERT": self.worker.certificate, "KEY": self.worker.key}
        return {f"NS_{name}_{end}": str(file) for name in connections for end, file in files.items()}


@dataclass(frozen=True, slots=True)
class Secured:
    """A service for the user of the workers: ``url`` without TLS, and ``variables`` for a worker, with TLS."""

    url: str
    variables: dict[str, str]


def secured_rabbitmq(rabbitmq: RabbitMQ, made: Identities) -> Secured:
    """Let RabbitMQ listen with TLS as well, and create the user by the program of ``deploy``."""
    port = rabbitmq.listen_with_tls(made.server, demands=made.authority.certificate)
    deploy("rabbitmq-user", USER, QUEUES, environment=rabbitmq.environment)
    variables = {"NS_AMQP_URL": f"amqps://{LOGIN}:{port}/"} | made.variables("AMQP")
    return Secured(f"amqp://{LOGIN}:{rabbitmq.port}/", variables)


def secured_redis(redis: Redis, made: Identities, *more: str) -> Secured:
    """Let Redis listen with TLS as well, and create the user by the program of ``deploy``. ``more``: rights."""
    port = free_port()
    options = with_tls(port, made.server, demands=made.authority.certificate)
    redis.ask("CONFIG", "SET", *(word for option in options.items() for word in option))
    redis.ask("ACL", "SETUSER", *deploy("redis-acl", USER, KEYS).split()[1:], *more)
    variables = {"NS_REDIS_URL": f"rediss://{LOGIN}:{port}/0"} | made.variables("REDIS")
    return Secured(f"redis://{LOGIN}:{redis.port}/0", variables)


def deploy(program: str, *arguments: str, environment: Mapping[str, str] = os.environ) -> str:
    """Run a program of ``deploy`` as an operator does, with the password on its standard input."""
    command = [str(DEPLOY / program), *arguments]
    done = subprocess.run(command, env=environment, input=PASSWORD, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return done.stdout


@asynccontextmanager
async def behind_tls(url: str, made: Identities) -> AsyncIterator[int]:
    """A port that speaks TLS, demands the certificate of a client, and passes everything on to ``url``."""
    context, place = made.server.serving(), urlsplit(url)
    context.load_verify_locations(made.authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    passing: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while part := await reader.read(65_536):
                writer.write(part)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to = await asyncio.open_connection(place.hostname, place.port)
        passing.update({asyncio.create_task(carry(reader, to)), asyncio.create_task(carry(behind, writer))})

    async with await asyncio.start_server(take, HOST, 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
        for task in passing:
            task.cancel()
