"""The recipient of every benchmark, as a process: reads just enough HTTP to count, and answers 200 after a delay.

``python -m bench.receiver DELAY [ADDRESS]`` listens on 127.0.0.1 or that address, and prints its port. ``GET /seen``:
how many requests, and how many different ones. ``GET /arrivals``: each one's ``webhook-id``, time on the system's
monotonic clock and bytes of body, in order. ``GET /news``: the same, of those since the last such question; they are
forgotten then. ``GET /mood/500`` and it refuses everything, ``/mood/hang`` and it does not answer, ``/mood/200`` and it
is well again; what it did not accept is no arrival.
"""

import asyncio
import gc
import json
import sys
import time

from bench.machine import raise_open_files

HOST = "127.0.0.1"
BACKLOG = 1024
END_OF_HEAD = b"\r\n\r\n"
ACCEPTED = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
REFUSED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"
ANSWERS = {b"200": ACCEPTED, b"500": REFUSED, b"hang": None}


class Arrivals:
    """Every request that was accepted: id, time, bytes. ``answer`` is what the next one gets."""

    def __init__(self) -> None:
        self.all: list[tuple[str, float, int]] = []
        self.answer: bytes | None = ACCEPTED
        self._ids: set[str] = set()

    def add(self, webhook_id: str, size: int) -> None:
        self.all.append((webhook_id, time.monotonic(), size))
        self._ids.add(webhook_id)

    def report(self, path: bytes) -> bytes:
        """The answer to one of the questions."""
        if path == b"/seen":
            return json.dumps({"requests": len(self.all), "distinct": len(self._ids)}).encode()
        if path.startswith(b"/mood/"):
            self.answer = ANSWERS[path.removeprefix(b"/mood/")]
            return b"{}"
        told = json.dumps(self.all).encode()
        if path == b"/news":
            self.all.clear()
            self._ids.clear()
        return told


class Conversation(asyncio.Protocol):
    """One connection. Nothing is checked: what it costs must not be what is measured."""

    _transport: asyncio.Transport

    def __init__(self, arrivals: Arrivals, delay: float) -> None:
        self._arrivals = arrivals
        self._delay = delay
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._unread = self._unread + data if self._unread else data
        while (end_of_head := self._unread.find(END_OF_HEAD)) >= 0:
            head = self._unread[:end_of_head].lower()
            body = int(_header(head, b"content-length") or 0)
            end = end_of_head + len(END_OF_HEAD) + body
            if len(self._unread) < end:
                return
            self._unread = self._unread[end:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: int) -> None:
        if head.startswith(b"get "):
            report = self._arrivals.report(head.split(b" ", 2)[1])
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(report), report))
            return
        answer = self._arrivals.answer
        if answer is ACCEPTED:
            self._arrivals.add(_header(head, b"webhook-id").decode(), body)
        if answer and self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, answer)
        elif answer:
            self._transport.write(answer)


def _header(head: bytes, name: bytes) -> bytes:
    start = head.find(b"\r\n" + name + b":")
    if start < 0:
        return b""
    start += len(name) + 3
    stop = head.find(b"\r\n", start)
    return head[start : stop if stop >= 0 else None].strip()


async def serve(delay: float, address: str = HOST) -> None:
    """Until the process is ended."""
    raise_open_files()
    arrivals = Arrivals()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conversation(arrivals, delay), address, 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    # Everything it keeps it keeps to the end: a collection would only show up as somebody else's latency.
    gc.disable()
    asyncio.run(serve(float(sys.argv[1]), *sys.argv[2:]))
