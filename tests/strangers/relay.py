"""The one mail server of the workers, well but for the dialogues of odd cases."""

import asyncio
from collections import Counter, deque
from email.parser import BytesHeaderParser

from tests.services.program import HOST
from tests.strangers.smtp_dialogues import Dialogue, Reply

GREETED = b"250-relay.example\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 33554432\r\n"
WELL = Dialogue()


class Hangup(ConnectionError):
    """The server ends the session."""


class Relay:
    """``dialogues`` by address; those of sessions are had by the next connections, one each.

    ``accepted``: how often each notification was taken, by its id.
    """

    def __init__(self) -> None:
        self.dialogues: dict[str, Dialogue] = {}
        self.sessions: deque[Dialogue] = deque()
        self.accepted: Counter[str] = Counter()
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"smtp://{HOST}:{self._server.sockets[0].getsockname()[1]}?starttls=none"

    def add(self, address: str, dialogue: Dialogue) -> None:
        self.dialogues[address] = dialogue
        if dialogue.of_a_session:
            self.sessions.append(dialogue)

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._take, HOST, 0)

    async def close(self) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialogue = self.sessions.popleft() if self.sessions else WELL
        task = asyncio.create_task(Session(self, dialogue, reader, writer).serve())
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)


class Session:
    """One connection."""

    def __init__(
        self, relay: Relay, dialogue: Dialogue, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._relay = relay
        self._session = dialogue
        self._recipient = WELL
        self._reader = reader
        self._writer = writer
        self._messages = 0

    async def serve(self) -> None:
        try:
            await self._say(self._session.banner or b"220 relay.example ESMTP\r\n")
            while line := await self._reader.readline():
                await self._hear(line.strip())
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._writer.close()

    async def _hear(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb == b"MAIL" and self._session.limit is not None and self._messages >= self._session.limit:
            await self._say(self._session.over)
        elif verb == b"MAIL":
            await self._say(self._session.mail or b"250 2.1.0 ok\r\n")
        elif verb == b"RCPT":
            await self._rcpt(line)
        elif verb == b"DATA":
            await self._data()
        elif verb == b"QUIT":
            await self._say(b"221 2.0.0 bye\r\n")
            raise Hangup
        else:
            known = {b"EHLO": self._session.ehlo or GREETED, b"HELO": self._session.helo or b"250 relay.example\r\n"}
            await self._say(known.get(verb, b"250 2.0.0 ok\r\n"))

    async def _rcpt(self, line: bytes) -> None:
        address = line.partition(b"<")[2].partition(b">")[0].decode("latin-1")
        self._recipient = self._relay.dialogues.get(address, WELL)
        # By then it is known whose turn it is; one verb late, as for servers that look at the recipient first.
        if not self._recipient.of_a_session and self._recipient.mail is not None:
            await self._say(self._recipient.mail)
        else:
            await self._say(self._recipient.rcpt or b"250 2.1.5 ok\r\n")

    async def _data(self) -> None:
        asked = self._recipient.data or b"354 go on\r\n"
        await self._say(asked)
        if not isinstance(asked, bytes) or not asked.startswith(b"354"):
            return
        message = await self._reader.readuntil(b"\r\n.\r\n")
        self._messages += 1
        end = self._recipient.end or b"250 2.0.0 kept\r\n"
        if isinstance(end, bytes) and _accepts(end):
            id_ = str(BytesHeaderParser().parsebytes(message)["Message-ID"]).strip("<> ").partition("@")[0]
            self._relay.accepted[id_] += 1
        await self._say(end)
        if self._recipient.then is not None:
            await self._say(self._recipient.then)

    async def _say(self, reply: Reply) -> None:
        if reply == "drop":
            raise Hangup
        if reply == "hang":
            await self._reader.read()  # until the other side has had enough
            raise Hangup
        while reply == "drip":
            self._writer.write(b"2")
            await self._writer.drain()
            await asyncio.sleep(0.2)
        assert isinstance(reply, bytes)
        self._writer.write(reply)
        await self._writer.drain()
        if reply.startswith(b"421"):
            raise Hangup


def _accepts(reply: bytes) -> bool:
    """By the code of its last line, as clients read it, where its lines have several."""
    lines = (line for line in reply.split(b"\r\n") if line[:3].isdigit() and line[3:4] != b"-")
    return next(lines, b"").startswith(b"2")
