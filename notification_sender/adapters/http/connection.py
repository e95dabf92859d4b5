"""One HTTP connection: which bytes arrived for which request, and whether another request may use it."""

import asyncio
import select

from aiohttp import ClientPayloadError
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import EMPTY_BODY_STATUS_CODES
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.streams import EMPTY_PAYLOAD

from notification_sender.adapters.http.raw_answer import MAX_HEAD_BYTES, MAX_HEADERS, may_be_heard, raw_answer

_REFUSED_BYTES = 4096
"""Bytes after which an answer that the parser refused is given up: each further byte would scan all bytes again."""

_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_END_BYTES = len(_LAST_CHUNK)


class HttpConnection(ResponseHandler):
    """aiohttp's end of a connection, which also keeps the raw bytes of the answer's head.

    aiohttp's parser raises on an odd answer and does not tell its status. Bytes that arrive between requests close the
    connection: they would be read as the answer to the next request.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.born = loop.time()
        self.used = False
        self.watched = False
        """Whether ``IdleConnections`` has a callback on its end."""
        self.head = b""
        """The bytes since the request: the whole head, and the bytes that arrived with it."""
        self.head_ended = True
        self._asking = False
        self._size = 0
        self._end = b""
        self._refused = False
        """Whether the parser refused the answer. Such a connection is not used again."""
        self._poll: select.poll | None = None

    def ask(self, *, no_body: bool) -> None:
        """Prepare for a request. ``no_body``: its answer has no body, whatever its content-length says."""
        self._asking = self.used = True
        self.head_ended = False
        self.set_response_params(
            skip_payload=no_body,
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
            max_headers=MAX_HEADERS,
        )

    def data_received(self, data: bytes) -> None:
        if not self._asking:
            if data:
                self.abort()
            return
        self._size += len(data)
        self._end = data[-_END_BYTES:] if len(data) >= _END_BYTES else (self._end + data)[-_END_BYTES:]
        if len(self.head) <= MAX_HEAD_BYTES:
            self.head += data
        if not self._refused:
            self._feed(data)
        if not self.head_ended and not self._buffer and (self._refused or self._size > MAX_HEAD_BYTES):
            self._give_up()

    def _feed(self, data: bytes) -> None:
        """Parse as aiohttp does, but keep the connection when the parser raises: the status may not have arrived yet.

        ``data`` may be empty: that resumes a paused parser.
        """
        if self._parser is None:
            return
        try:
            messages, self._upgraded, _ = self._parser.feed_data(data)
        except Exception as fault:  # noqa: BLE001 - any error here is the parser's
            self._refused = True
            if self.head_ended or self._buffer:
                self._fail(HttpProcessingError(message=type(fault).__name__))
            return
        for message, content in messages:
            self._should_close |= message.should_close
            self._payload = content
            bare = self._skip_payload or message.code in EMPTY_BODY_STATUS_CODES
            self.feed_data((message, EMPTY_PAYLOAD if bare else content))

    def _give_up(self) -> None:
        if self._size > _REFUSED_BYTES or not may_be_heard(self.head) or raw_answer(self.head):
            self._fail(HttpProcessingError(message="not HTTP, or its head is too long"))

    def _fail(self, fault: HttpProcessingError) -> None:
        self.set_exception(fault)
        if self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(ClientPayloadError())
        self.close()

    def answered(self, message: RawResponseMessage, heads: int, body: int) -> bool:
        """Whether exactly ``heads`` heads arrived, the last that of ``message``, and a body of ``body`` bytes.

        Only such a connection takes another request, and only if its answer cannot be read in two ways.
        """
        head, start = self.head, 0
        for _ in range(1, heads):
            start = head.find(_HEAD_END, start) + 4
        end, size = head.find(_HEAD_END, start) + 4, self._size
        self._asking, self._size, self.head = False, 0, b""
        # One line per header: no header continues on the next line or has another line end.
        if head.count(b"\r\n", start, end) != len(message.raw_headers) + 2:
            return False
        if not message.chunked:
            return size == end + body
        coding = message.headers.getall("transfer-encoding")
        return self._end == _LAST_CHUNK and len(coding) == 1 and coding[0].lower() == "chunked"

    def is_stale(self) -> bool:
        """Whether the connection has ended, or has unread bytes that no request asked for."""
        if self.transport is None:
            return True
        if not self.used and self.transport.get_extra_info("sslcontext") is not None:
            return False  # a new TLS connection may receive session tickets, which are no answer
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._poll.poll(0))
