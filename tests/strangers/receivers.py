"""Odd receivers of webhooks, each on a port of its own: what one does is not told of the others."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from functools import partial

from tests.faults.proxy import abort
from tests.services.program import HOST
from tests.strangers.http_answers import Answer

MOST = 64 * 1024 * 1024
"""Bytes that are poured at most: nobody reads so much."""


class Receivers:
    """``answers`` by case are filled in before the first request. ``asked``: requests read, by case."""

    def __init__(self) -> None:
        self.answers: dict[int, Answer] = {}
        self.asked: Counter[int] = Counter()
        self._ports: dict[int, int] = {}
        self._servers: list[asyncio.Server] = []
        self._serving: set[asyncio.Task[None]] = set()

    def url(self, number: int) -> str:
        return f"http://{HOST}:{self._ports[number]}/odd-{number}"

    async def listen(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            server = await asyncio.start_server(partial(self._take, number), HOST, 0)
            self._servers.append(server)
            self._ports[number] = server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _take(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(number, reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = self.answers[number]
        try:
            while await _request(reader):
                self.asked[number] += 1
                await _play(answer, writer)
                if not answer.hold:
                    break
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass
        finally:
            if answer.reset:
                abort(writer)
            else:
                writer.close()


async def _request(reader: asyncio.StreamReader) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next((line[15:] for line in head.split(b"\r\n") if line.startswith(b"content-length:")), b"0")
    await reader.readexactly(int(length))
    return True


async def _play(answer: Answer, writer: asyncio.StreamWriter) -> None:
    for step in answer.steps:
        poured = 0
        while True:
            writer.write(step.data)
            await writer.drain()
            await asyncio.sleep(step.seconds)
            poured += len(step.data)
            if not step.forever or poured > MOST:
                break
