"""Structured logs: one JSON object a line, or readable lines for people."""

import logging
import sys
from contextlib import suppress
from typing import IO, Any, BinaryIO, TextIO, cast

import orjson
import structlog

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def configure(*, form: str, level: str) -> None:
    """``form`` is ``json`` or ``text``. Foreign loggers speak from warning on: httpx logs whole URLs at info."""
    renderers: list[Any]
    if form == "json":
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_line)]
    else:
        plain = structlog.dev.plain_traceback
        renderers = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(cast("BinaryIO", _Unfailing(sys.stderr.buffer)))
        if form == "json"
        else structlog.PrintLoggerFactory(cast("TextIO", _Unfailing(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=sys.stderr, level=max(LEVELS[level], logging.WARNING), force=True)


class _Unfailing:
    """Where lines go. They are lost where the disk is full or nobody reads any more: the work goes on."""

    def __init__(self, file: IO[Any]) -> None:
        self._file = file

    def write(self, line: Any) -> None:
        with suppress(OSError):
            self._file.write(line)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()


def to_people() -> None:
    """For commands: standard output is for their answer alone, what went wrong on the way is told beside it."""
    configure(form="text", level="warning")


def _line(event: dict[str, Any], **_: Any) -> bytes:
    return orjson.dumps(event, default=str)
