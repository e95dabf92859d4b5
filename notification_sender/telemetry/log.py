"""Structured logs: one JSON object a line, or readable lines for people."""

import asyncio
import logging
import sys
import time
from collections import deque
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from select import PIPE_BUF
from typing import IO, Any, BinaryIO, Literal, TextIO, cast

import orjson
import structlog

from notification_sender.model.timestamps import format_rfc3339

_running_loop: Callable[[], asyncio.AbstractEventLoop | None] = asyncio._get_running_loop  # noqa: SLF001 - raises nothing

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def configure(*, form: str, level: str, process: int | None = None) -> None:
    """``form`` is ``json`` or ``text``. Other libraries log from warning on: httpx logs whole URLs at info.

    ``process``: the number of this worker process, where several write to one log. Every line names it.
    """
    processors: list[Any]
    lines = _Lines(sys.stderr.buffer) if form == "json" else None
    if lines is not None:
        processors = [structlog.processors.format_exc_info, _line]
    else:
        plain = structlog.dev.plain_traceback
        processors = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _texts,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain),
        ]
    if process is not None:
        processors.insert(0, partial(_numbered, process))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lines or structlog.PrintLoggerFactory(cast("TextIO", _Unfailing(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    _outputs[:] = [_Output(lines, LEVELS[level], processors, {} if process is None else {"process": process})]
    logging.basicConfig(stream=sys.stderr, level=max(LEVELS[level], logging.WARNING), force=True)


def write(level: Literal["info", "warning"], event: str, fields: dict[str, Any]) -> None:
    """Log ``event`` with ``fields``, which are used up: what every message logs. As a logger of structlog does, which
    takes half of an attempt's line for itself.
    """
    output = _outputs[-1] if _outputs else None
    if output is None or output.lines is None or output.processors[-1] is not _line:  # or captured by a test
        getattr(structlog.get_logger(), level)(event, **fields)
    elif LEVELS[level] >= output.level:
        fields |= {"event": event, **output.common}
        (output.lines.soon if level == "info" else output.lines.now)(_line(None, level, fields))


class _Lines:
    """Writes lines to a file, as ``_Unfailing`` does. The lines of one turn of the loop are one write. A warning is
    written at once. structlog's own logger, with a write for each line, takes a tenth of an attempt.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._waiting: deque[bytes] = deque()
        """Other threads write as well: a deque loses nothing between them."""
        self._size = 0

    def __call__(self, *_: Any) -> "_Lines":
        """All loggers write through one object: their lines keep their order."""
        return self

    def soon(self, line: bytes) -> None:
        """Write ``line`` at the end of this turn; at once where no loop runs, as in another thread."""
        loop = _running_loop()
        if loop is None:
            self._waiting.append(line)
            self.flush()
            return
        # The processes of a pod share one pipe, which keeps no more than this in one piece.
        if self._size + len(line) > PIPE_BUF:
            self.flush()
        if not self._waiting:
            loop.call_soon(self.flush)
        self._waiting.append(line)
        self._size += len(line)

    def now(self, line: bytes) -> None:
        """Write ``line``, and all that waits before it."""
        self.soon(line)
        self.flush()

    def flush(self) -> None:
        self._size = 0
        lines = []
        try:
            while True:
                lines.append(self._waiting.popleft())
        except IndexError:  # the end, or another thread took the last one
            if lines:
                self._write(b"".join(lines))

    def _write(self, text: bytes) -> None:
        try:
            self._file.write(text)
            self._file.flush()
        except OSError:
            return

    msg = debug = info = soon
    warning = error = critical = now


@dataclass(frozen=True, slots=True)
class _Output:
    """What ``configure`` has set. ``processors``: structlog's own list, which tests replace the content of."""

    lines: _Lines | None
    """None: lines are for people, and structlog writes them."""
    level: int
    processors: list[Any]
    common: dict[str, Any]
    """Fields of every line."""


_outputs: list[_Output] = []
"""The last one, if any."""


class _Unfailing:
    """A file that never fails. Lines are lost when the disk is full or the reader has gone; the worker goes on."""

    def __init__(self, file: IO[Any]) -> None:
        self._file = file

    def write(self, line: Any) -> None:
        with suppress(OSError):
            self._file.write(line)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()


def to_people() -> None:
    """For commands: standard output has the result alone, standard error has the warnings."""
    configure(form="text", level="warning")


def _numbered(process: int, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["process"] = process
    return event


def _texts(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Turn the values that the console prints under the line into texts: any other value makes the console fail."""
    for name in {"stack", "exception"} & event.keys():
        value = event[name]
        if not isinstance(value, str):
            rows = value if isinstance(value, (list, tuple)) else [value]
            event[name] = "\n".join(f"    {row}" for row in rows)
    return event


def _line(_logger: Any, level: str, event: MutableMapping[str, Any]) -> bytes:
    event["level"] = level
    event["timestamp"] = format_rfc3339(time.time(), "microseconds")
    return orjson.dumps(event, default=str, option=orjson.OPT_APPEND_NEWLINE)
