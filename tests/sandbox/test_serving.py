"""A server of the sandbox leaves nothing behind when it stops."""

import asyncio
import gc
import socket
from contextlib import suppress

import pytest

from notification_sender.app.run import loops
from notification_sender.sandbox.serving import HOST, Server


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("turns", range(6))
def test_a_connection_that_comes_while_the_server_stops_is_closed(turns: int, loop: str) -> None:
    """Otherwise the garbage collector closes it, and warns in the middle of a later test."""

    async def connects_and_stops() -> socket.socket:
        server = Server([])
        await server.start()
        connection = socket.create_connection((HOST, server.port))
        for _ in range(turns):
            await asyncio.sleep(0)
        await server.stop()
        return connection

    with asyncio.Runner(loop_factory=loops(loop)) as runner, runner.run(connects_and_stops()) as connection:
        gc.collect()
        with suppress(ConnectionResetError):  # it was never accepted
            assert connection.recv(1) == b""
