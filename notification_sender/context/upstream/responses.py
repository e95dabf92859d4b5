"""What an answer of an API means: to the caller, to the guard of the API, and to the figures of its calls."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from notification_sender.context.upstream.errors import BadAnswer, Broken, NotFound, Refused
from notification_sender.context.upstream.guard import Health
from notification_sender.context.upstream.json_reading import read_any
from notification_sender.model.cause import Cause, Phase
from notification_sender.model.errors import ContextUnavailable
from notification_sender.telemetry.delivery_spans import TracedCall

ABSENT = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
OVERLOADED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
"""Says nothing of the thing asked for: the same call may be answered later."""
PASSING = (
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
"""Another try may succeed."""

_METRIC = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32})\s*(?:;[^,]*?\bdur\s*=\s*\"?(\d+(?:\.\d+)?)\"?[^,]*)?")


@dataclass(slots=True)
class Call:
    """One call, for the figures; seconds."""

    api: str
    endpoint: str
    """Method and path template."""
    result: str = "interrupted"
    """The status, or the failure in its place."""
    seconds: float = 0.0
    """Without waiting for a slot."""
    phases: dict[str, float] = field(default_factory=dict)
    """``wait`` for a slot, ``connect``, ``first_byte``, ``body``, as far as the call came."""
    server: dict[str, float] = field(default_factory=dict)
    """The server's own figures, by its own names (Server-Timing)."""
    trace: TracedCall | None = None
    is_traced_by_api: bool = False
    """Whether the API got the trace as well: a third party gets none."""

    @property
    def trace_id(self) -> str:
        """By which the API's own traces know the call; empty: the API got none."""
        return self.trace.context.trace_id if self.trace is not None and self.is_traced_by_api else ""


async def parsed(body: bytes, shape: type) -> Any:
    """The value of an answer of success.

    Raises:
        BadRecord: as of ``read_any``.
        BadAnswer: it is not JSON, or not of this shape.

    """
    value = await read_any(body)
    if not isinstance(value, shape):
        raise BadAnswer(f"{type(value).__name__} where the contract says {shape.__name__}")
    return value


def refusal(where: str, status: int, api: str = "") -> NotFound | ContextUnavailable:
    """The error that an answer without success becomes."""
    cause = Cause(api=api, status=status, phase=Phase.READ)
    if status in ABSENT:
        return NotFound(f"{where} answered {status}", cause=cause)
    if status in REFUSED:
        return ContextUnavailable(f"{where} answered {status}: our credentials are refused", cause=cause)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return Broken(f"{where} answered {status}", cause=cause)
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in LATER:
        return Refused(f"{where} answered {status}", cause=cause)
    return ContextUnavailable(f"{where} answered {status}", cause=cause)


def health(status: int) -> Health:
    """What a status says to the guard of the API. A refusal of the one thing asked for is no failure of the API."""
    if status in OVERLOADED:
        return Health.OVERLOADED
    if status in REFUSED or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Health.FAILED
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Health.FAILED
    return Health.WELL


def of_one_record(status: int) -> bool:
    """Whether such a failure may be about the record: one that the API fails over, or may not show us."""
    return health(status) is Health.FAILED and status not in PASSING[1:]


def server_timing(headers: Iterable[str]) -> dict[str, float]:
    """Seconds by name, of ``Server-Timing`` (W3C Server Timing, section 3): unreadable entries are left out."""
    found = (_METRIC.fullmatch(entry) for header in headers for entry in header[:1024].split(","))
    return {match[1]: float(match[2]) / 1000 for match in found if match and match[2]}
