"""What an answer of an API means: to whoever asked, to its guard, and to whoever looks for who is slow."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson

from notification_sender.context.guard import Health
from notification_sender.model.errors import ContextUnavailable, Transient

ABSENT = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
OVERLOADED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
PASSING = (
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
"""What another try may find mended."""

_METRIC = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32})\s*(?:;[^,]*?\bdur\s*=\s*\"?(\d+(?:\.\d+)?)\"?[^,]*)?")


class NotFound(Transient):
    """The API says that there is no such thing. What that means is for whoever asked."""


class Foreign(NotFound):
    """There is one, and it is another organization's: for us there is none."""


class BadAnswer(ContextUnavailable):
    """An answer of success that is not what the contract says."""


@dataclass(slots=True)
class Call:
    """One call, for the figures; seconds."""

    api: str
    endpoint: str
    """Method and path template."""
    result: str = "interrupted"
    """The status, or what came in its place."""
    seconds: float = 0.0
    """Without waiting for a slot."""
    phases: dict[str, float] = field(default_factory=dict)
    """``wait`` for a slot, ``connect``, ``first_byte``, ``body``, as far as it came."""
    server: dict[str, float] = field(default_factory=dict)
    """What the server says of itself, by the names that it uses (Server-Timing)."""


def parsed(body: bytes, shape: type) -> Any:
    """The value of an answer of success.

    Raises:
        BadAnswer: it is not JSON, or not of this shape.

    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise BadAnswer(f"not JSON: {fault}") from None
    if not isinstance(value, shape):
        raise BadAnswer(f"{type(value).__name__} where the contract says {shape.__name__}")
    return value


def refusal(where: str, status: int) -> NotFound | ContextUnavailable:
    """What whoever asked is told of an answer that is no success."""
    if status in ABSENT:
        return NotFound(f"{where} answered {status}")
    if status in REFUSED:
        return ContextUnavailable(f"{where} answered {status}: our credentials are refused")
    return ContextUnavailable(f"{where} answered {status}")


def health(status: int) -> Health:
    """What the API's guard is told of a status. A refusal that is about the one thing asked for is no trouble."""
    if status in OVERLOADED:
        return Health.OVERLOADED
    if status in REFUSED or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Health.FAILED
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Health.FAILED
    return Health.WELL


def server_timing(headers: Iterable[str]) -> dict[str, float]:
    """Seconds by name, of ``Server-Timing`` (W3C Server Timing, section 3): what it cannot read it leaves out."""
    found = (_METRIC.fullmatch(entry) for header in headers for entry in header[:1024].split(","))
    return {match[1]: float(match[2]) / 1000 for match in found if match and match[2]}
