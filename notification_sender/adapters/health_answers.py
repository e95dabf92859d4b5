"""What the answers of a worker's health port and of its parent's have in common."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

import orjson

from notification_sender.adapters.health_port import Answer

JSON = "application/json"
METRICS = "text/plain; version=0.0.4; charset=utf-8"
"""The type of Prometheus's text."""


async def route(paths: Mapping[str, Callable[[str], Awaitable[Answer]]], method: str, path: str, peer: str) -> Answer:
    """The answer of the function of that path, which gets the client's address."""
    answer = paths.get(path)
    if answer is None:
        return Answer(HTTPStatus.NOT_FOUND, "text/plain", b"")
    if method not in {"GET", "HEAD"}:
        return Answer(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"", "Allow: GET, HEAD\r\n")
    return await answer(peer)


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
