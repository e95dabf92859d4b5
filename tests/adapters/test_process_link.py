import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from notification_sender.adapters import process_link
from notification_sender.adapters.process_link import ParentConnection, Reply, WorkerConnection
from tests.patience import patience


@asynccontextmanager
async def linked(slow: asyncio.Event) -> AsyncIterator[tuple[WorkerConnection, asyncio.Task[None], socket.socket]]:
    """A worker that answers ``/slow`` when ``slow`` is set, and everything else at once with what it was asked."""

    async def answer(path: str) -> Reply:
        if path == "/slow":
            await slow.wait()
        return Reply(200, path.encode() * 100_000)

    ours, theirs = socket.socketpair()
    connection = WorkerConnection(ours)
    reading = asyncio.create_task(connection.read())
    serving = asyncio.create_task(ParentConnection(theirs, answer, grace=0.0).serve())
    try:
        yield connection, serving, ours
    finally:
        for task in (reading, serving):
            task.cancel()
        await asyncio.wait({reading, serving})


async def asked(connection: WorkerConnection) -> None:
    """Ask until the other end answers: both need some turns of the loop to begin."""
    while await connection.ask("/livez", 3600.0) is None:  # noqa: ASYNC110 - it can only be asked
        await asyncio.sleep(0)


async def test_each_answer_goes_to_its_question() -> None:
    slow = asyncio.Event()
    async with linked(slow) as (connection, _, _), patience(20):
        await asked(connection)
        first = asyncio.create_task(connection.ask("/slow", 3600.0))
        await asyncio.sleep(0)
        assert await connection.ask("/metrics", 3600.0) == Reply(200, b"/metrics" * 100_000)
        slow.set()
        assert await first == Reply(200, b"/slow" * 100_000)


async def test_an_answer_that_comes_late_is_dropped() -> None:
    slow = asyncio.Event()
    async with linked(slow) as (connection, _, _), patience(20):
        await asked(connection)
        assert await connection.ask("/slow", 0.05) is None
        slow.set()
        assert await connection.ask("/livez", 3600.0) == Reply(200, b"/livez" * 100_000)


async def test_a_worker_without_a_parent_asks_itself_to_stop_and_ends_if_it_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[int] = []
    exits: list[int] = []
    monkeypatch.setattr(process_link, "EXIT_MARGIN", 0.0)
    monkeypatch.setattr(process_link.os, "kill", lambda _, number: sent.append(number))
    monkeypatch.setattr(process_link.os, "_exit", exits.append)
    async with linked(asyncio.Event()) as (_, serving, ours), patience(20):
        ours.shutdown(socket.SHUT_RDWR)
        await serving
    assert (sent, exits) == ([signal.SIGTERM], [1])


async def test_a_question_to_a_worker_that_ended_is_not_answered() -> None:
    ours, theirs = socket.socketpair()
    connection = WorkerConnection(ours)
    assert await connection.ask("/livez", 3600.0) is None
    reading = asyncio.create_task(connection.read())
    async with patience(20):
        while connection._writer is None:  # noqa: ASYNC110 - it can only be asked
            await asyncio.sleep(0)
        asking = asyncio.create_task(connection.ask("/livez", 3600.0))
        await asyncio.sleep(0)
        theirs.close()
        assert await asking is None
        await reading
