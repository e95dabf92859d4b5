"""One guarded client for each API: its deadline, its token, its trace, and what each answer means."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import httpx
import orjson

from notification_sender.model.errors import ContextUnavailable, SendFailed, Sent, Transient

_ABSENT = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

Observe = Callable[[str, str, str, float], None]
"""Is told of every call: the API, method and path template, the status (or what came in its place), seconds."""


class NotFound(Transient):
    """The API says that there is no such thing. What that means is for whoever asked."""


class Foreign(NotFound):
    """There is one, and it is another organization's: for us there is none."""


class BadAnswer(ContextUnavailable):
    """An answer of success that is not what the contract says."""


class Bearer(Protocol):
    """Where the service token comes from; ``fresh``: the one before was refused."""

    async def __call__(self, *, fresh: bool = False) -> str: ...


class Upstream:
    """``deadline`` s for a call in all, also where it takes a fresh token and a second try.

    Without ``token`` it may be a third party: no trace either. ``transport`` raises SendFailed and nothing else.
    All calls raise NotFound, BadAnswer or ContextUnavailable, which says what it was.
    """

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        transport: httpx.AsyncBaseTransport,
        deadline: float,
        max_bytes: int,
        observe: Observe,
        token: Bearer | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._name = name
        self._base_url = base_url.rstrip("/")
        self._transport = transport
        self._deadline = deadline
        self._extensions = {"deadline": deadline, "max_bytes": max_bytes}
        self._observe = observe
        self._token = token
        self._random_bytes = random_bytes

    async def get(self, path: str, *ids: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The object at ``path``, whose ``{}`` are filled with ``ids``."""
        if not {".", ".."}.isdisjoint(ids):  # a client would walk up the path, whatever is quoted
            raise NotFound(f"{self._name} {path}: no such id")
        query = f"?{urlencode(params)}" if params else ""
        url = path.format(*(quote(id_, safe="") for id_ in ids)) + query
        answer: dict[str, Any] = await self._call("GET", path, url, dict)
        return answer

    async def post(self, path: str, body: Mapping[str, Any]) -> list[Any]:
        """The list that answers a JSON body: a bulk call."""
        content = (orjson.dumps(body), "application/json")
        answer: list[Any] = await self._call("POST", path, path, list, content)
        return answer

    async def form(self, path: str, fields: Mapping[str, str]) -> dict[str, Any]:
        """The object that answers a form."""
        content = (urlencode(fields).encode(), "application/x-www-form-urlencoded")
        answer: dict[str, Any] = await self._call("POST", path, path, dict, content)
        return answer

    async def _call(
        self, method: str, path: str, url: str, shape: type, content: tuple[bytes, str] | None = None
    ) -> Any:
        endpoint = f"{method} {path}"
        where = f"{self._name} {endpoint}"
        try:
            async with asyncio.timeout(self._deadline):
                status, value = await self._attempt(endpoint, url, shape, content, fresh=False)
                if status == HTTPStatus.UNAUTHORIZED and self._token is not None:
                    status, value = await self._attempt(endpoint, url, shape, content, fresh=True)
        except TimeoutError:
            raise ContextUnavailable(f"{where}: no answer in {self._deadline:g} s") from None
        except SendFailed as error:
            raise ContextUnavailable(f"{where}: {error}") from error
        except BadAnswer as error:
            raise BadAnswer(f"{where}: {error}") from None
        if value is None:
            raise _refusal(where, status)
        return value

    async def _attempt(
        self, endpoint: str, url: str, shape: type, content: tuple[bytes, str] | None, *, fresh: bool
    ) -> tuple[int, Any]:
        """The status, and the value of a success."""
        request = await self._request(endpoint, url, content, fresh=fresh)
        clock = asyncio.get_running_loop().time
        started, result = clock(), "interrupted"
        try:
            status, body = await self._exchange(request)
            result = str(status)
            if not HTTPStatus(200) <= status < HTTPStatus(300):
                return status, None
            result = "bad_answer"
            value = _parsed(body, shape)
            result = str(status)
        except SendFailed as error:
            result = "unreachable" if error.sent is Sent.NOTHING else "no_answer"
            raise
        finally:
            self._observe(self._name, endpoint, result, clock() - started)
        return status, value

    async def _request(
        self, endpoint: str, url: str, content: tuple[bytes, str] | None, *, fresh: bool
    ) -> httpx.Request:
        headers = {
            "accept": "application/json",
            "accept-encoding": "identity",  # a small compressed answer may be gigabytes
            "user-agent": "notification-sender",
        }
        if self._token is not None:
            headers["authorization"] = f"Bearer {await self._token(fresh=fresh)}"
            # W3C Trace Context, level 1: version, trace id, parent id, sampled.
            headers["traceparent"] = f"00-{self._random_bytes(16).hex()}-{self._random_bytes(8).hex()}-01"
        if content is not None:
            headers["content-type"] = content[1]
        return httpx.Request(
            endpoint.partition(" ")[0],
            self._base_url + url,
            headers=headers,
            content=content[0] if content else None,
            extensions=dict(self._extensions),
        )

    async def _exchange(self, request: httpx.Request) -> tuple[int, bytes]:
        response = await self._transport.handle_async_request(request)
        try:
            encoded = response.headers.get("content-encoding", "identity") != "identity"
            return response.status_code, b"" if encoded else await response.aread()
        finally:
            await response.aclose()


def _parsed(body: bytes, shape: type) -> Any:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise BadAnswer(f"not JSON: {fault}") from None
    if not isinstance(value, shape):
        raise BadAnswer(f"{type(value).__name__} where the contract says {shape.__name__}")
    return value


def _refusal(where: str, status: int) -> NotFound | ContextUnavailable:
    if status in _ABSENT:
        return NotFound(f"{where} answered {status}")
    if status in _REFUSED:
        return ContextUnavailable(f"{where} answered {status}: our credentials are refused")
    return ContextUnavailable(f"{where} answered {status}")
