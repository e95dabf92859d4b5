"""What the answers of a worker's health port and of its parent's have in common."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

import orjson

from notification_sender.adapters.health_port import Answer, Request

JSON = "application/json"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
"""The type of Prometheus's text."""

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""The type of metrics with exemplars."""


async def route(paths: Mapping[str, Callable[[Request], Awaitable[Answer]]], request: Request) -> Answer:
    """The answer of the function of that path."""
    answer = paths.get(request.path)
    if answer is None:
        return Answer(HTTPStatus.NOT_FOUND, "text/plain", b"")
    if request.method not in {"GET", "HEAD"}:
        return Answer(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"", "Allow: GET, HEAD\r\n")
    return await answer(request)


def wants_openmetrics(accept: str) -> bool:
    """Whether a client that accepts this likes OpenMetrics at least as well as Prometheus's own text."""
    wishes = {"text/plain": 0.0} | dict(_wish(it) for it in accept.lower().split(","))
    return wishes.get("application/openmetrics-text", 0.0) > 0.0 and (
        wishes["application/openmetrics-text"] >= wishes["text/plain"]
    )


def _wish(accepted: str) -> tuple[str, float]:
    """A media type and how much it is wished for. Of several versions the last one listed counts."""
    kind, *parameters = (it.strip() for it in accepted.split(";"))
    texts = [it[2:] for it in parameters if it.startswith("q=")]
    try:
        return kind, float(texts[0]) if texts else 1.0
    except ValueError:
        return kind, 0.0


def as_json(value: Mapping[str, Any], *, well: bool) -> Answer:
    status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, JSON, orjson.dumps(value))


def status_refused(peer: str, *, open_status: bool) -> Answer | None:
    """The refusal for a client that may not read ``/status``; None: it may. ``open_status``: any client may."""
    if open_status or _loopback(peer):
        return None
    words = (
        b"/status names hosts and APIs, so only clients on this machine may read it. "
        b"NS_STATUS=open opens it to all clients.\n"
    )
    return Answer(HTTPStatus.FORBIDDEN, "text/plain", words)


def _loopback(peer: str) -> bool:
    address = ip_address(peer.partition("%")[0])
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
