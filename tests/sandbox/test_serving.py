"""A server of the sandbox leaves nothing behind when it stops."""

import asyncio
import gc
import socket
from collections.abc import Callable
from contextlib import suppress

import pytest

from notification_sender.app.run import loops
from notification_sender.sandbox.behaviour import Behaviour
from notification_sender.sandbox.inbox.mailbox import Mailbox
from notification_sender.sandbox.serving import HOST, Server
from tests.patience import patient
from tests.services.listening import serving

SERVERS: dict[str, Callable[[], Server | Mailbox]] = {
    "webhooks": lambda: Server([]),
    "emails": lambda: Mailbox(lambda _: Behaviour(), lambda _: None),
}


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("turns", range(6))
def test_a_connection_that_comes_while_the_server_stops_is_closed(turns: int, loop: str, kind: str) -> None:
    """Otherwise the garbage collector closes it, and warns in the middle of a later test."""

    async def connects_and_stops() -> socket.socket:
        server = SERVERS[kind]()
        await server.start()
        connection = socket.create_connection((HOST, server.port))
        for _ in range(turns):
            await asyncio.sleep(0)
        await server.stop()
        return connection

    with asyncio.Runner(loop_factory=loops(loop)) as runner, runner.run(connects_and_stops()) as connection:
        gc.collect()
        assert_ended(connection)


async def test_a_server_of_a_test_ends_with_its_connections_whatever_waits_on_them() -> None:
    async def hold(*_: object) -> None:
        await asyncio.Event().wait()

    async with serving(hold) as server:
        held = socket.create_connection(server.sockets[0].getsockname())
        await asyncio.sleep(0)
        late = socket.create_connection(server.sockets[0].getsockname())
    gc.collect()
    for connection in (held, late):
        with connection:
            assert_ended(connection)


def assert_ended(connection: socket.socket) -> None:
    connection.settimeout(patient(5))
    with suppress(ConnectionResetError):  # it was never accepted
        while connection.recv(4096):
            pass
