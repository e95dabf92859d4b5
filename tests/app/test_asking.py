"""Every command ends soon, and names the service, where RabbitMQ or Redis refuses it or is silent."""

import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from notification_sender.app import asking, commands, diagnosis
from notification_sender.model.errors import Unready
from notification_sender.settings import Settings
from tests.cli.conftest import ENVIRONMENT
from tests.services.program import HOST, free_port

REDIS, RABBITMQ = "NS_REDIS_URL", "NS_AMQP_URL"
LETTERS = commands.LetterFilter()

OF_REDIS: dict[str, Callable[[Settings], Awaitable[Any]]] = {
    "audit": lambda it: commands.audit(it, "batch", None),
    "circuits": commands.circuits,
    "destinations list": lambda it: commands.troubled(it, None),
    "destinations show": lambda it: commands.show_destination(it, "org-1", "noc"),
    "explain": lambda it: commands.explain(it, "wu-1", None),
    "orgs": lambda it: commands.organizations(it, None),
    "pause": commands.paused,
    "throttle": lambda it: commands.throttles(it, "org-1"),
}
OF_RABBITMQ: dict[str, Callable[[Settings], Awaitable[Any]]] = {
    "dead list": lambda it: commands.list_dead(it, LETTERS),
    "publish": lambda it: commands.publish(it, [b"{}"], lambda: None),
    "retry": lambda it: commands.retry(it, commands.WaitingFilter(), by="anna", dry_run=True),
    "topology": commands.declare,
}


@contextmanager
def silent() -> Iterator[int]:
    """A frozen service: the kernel accepts connections for it, and nothing is answered. So a moment is enough."""
    with pytest.MonkeyPatch.context() as patch, socket.create_server((HOST, 0)) as server:
        for name in ("ANSWER_SECONDS", "CLOSE_SECONDS"):
            patch.setattr(asking, name, 0.05)
        yield server.getsockname()[1]


@contextmanager
def refused() -> Iterator[int]:
    yield free_port()


def settings_at(port: int) -> Settings:
    places = {REDIS: f"redis://{HOST}:{port}", RABBITMQ: f"amqp://guest:guest@{HOST}:{port}"}
    return Settings.load(ENVIRONMENT | places)


@pytest.mark.parametrize(
    ("variable", "command"),
    [
        *(pytest.param(REDIS, it, id=name) for name, it in OF_REDIS.items()),
        *(pytest.param(RABBITMQ, it, id=name) for name, it in OF_RABBITMQ.items()),
    ],
)
async def test_a_command_names_a_service_that_is_silent_or_refuses(
    variable: str, command: Callable[[Settings], Awaitable[Any]]
) -> None:
    with refused() as port, pytest.raises(Unready, match=rf"{HOST}:{port} \({variable}\): refuses"):
        await command(settings_at(port))
    with silent() as port, pytest.raises(Unready, match=rf"{HOST}:{port} \({variable}\): accepts connections, but"):
        await command(settings_at(port))


async def test_the_view_of_the_fleet_has_why_each_service_is_away() -> None:
    with silent() as port:
        seen = await diagnosis.fleet_view(settings_at(port))
    assert "(NS_REDIS_URL): accepts connections" in seen.redis_fault
    assert "(NS_AMQP_URL): accepts connections" in seen.broker_fault
