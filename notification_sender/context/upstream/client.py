"""One guarded client for each API: its deadline, its token, its trace, its retries."""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import httpx
import orjson
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from notification_sender.context import answers
from notification_sender.context.answers import BadAnswer, Call, Foreign, NotFound
from notification_sender.context.guard import Guard, Health, Visit
from notification_sender.model.errors import ContextUnavailable, SendFailed, Sent
from notification_sender.policy.retry import retry_after

__all__ = ["BadAnswer", "Bearer", "Foreign", "NotFound", "Upstream"]

TRIES = 3

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds: pauses between tries are spread evenly from nothing to a cap that doubles from the first of these."""

Observe = Callable[[Call], None]
"""Is told of every try."""


class Bearer(Protocol):
    """Where the service token comes from; ``fresh``: the one before was refused."""

    async def __call__(self, *, fresh: bool = False) -> str: ...


@dataclass(slots=True)
class _Ask:
    """One question, however often it is tried."""

    endpoint: str
    url: str
    shape: type
    content: tuple[bytes, str] | None = None
    time: asyncio.Timeout = field(default_factory=lambda: asyncio.timeout(None))
    """For all tries together. It runs from the first slot on."""
    trouble: ContextUnavailable | None = None
    """Why the last try came to nothing."""


class _Passing(ContextUnavailable):
    """What another try may find mended."""


class Upstream:
    """``deadline`` s for a question from its slot on, every try included: what was begun late is not cut off half-way.

    Without ``token`` it may be a third party: no trace either. ``transport`` raises SendFailed and nothing else, and
    hands over what came of an answer that broke off. All calls raise NotFound, BadAnswer or ContextUnavailable (Outage
    where the API is out and was not asked), which says what it was. Nobody above tries again: this is the only layer.
    """

    def __init__(
        self,
        *,
        base_url: str,
        transport: httpx.AsyncBaseTransport,
        guard: Guard,
        deadline: float,
        max_bytes: int,
        observe: Observe,
        token: Bearer | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._transport = transport
        self._guard = guard
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._observe = observe
        self._token = token
        self._random_bytes = random_bytes
        self._retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, _Passing) and guard.retries.spend()),
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
            reraise=True,
        )

    async def get(self, path: str, *ids: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The object at ``path``, whose ``{}`` are filled with ``ids``."""
        if not {".", ".."}.isdisjoint(ids):  # a client would walk up the path, whatever is quoted
            raise NotFound(f"{self._guard.api} {path}: no such id")
        query = f"?{urlencode(params)}" if params else ""
        url = path.format(*(quote(id_, safe="") for id_ in ids)) + query
        answer: dict[str, Any] = await self._call(_Ask(f"GET {path}", url, dict))
        return answer

    async def post(self, path: str, body: Mapping[str, Any]) -> list[Any]:
        """The list that answers a JSON body: a bulk call."""
        content = (orjson.dumps(body), "application/json")
        answer: list[Any] = await self._call(_Ask(f"POST {path}", path, list, content))
        return answer

    async def form(self, path: str, fields: Mapping[str, str]) -> dict[str, Any]:
        """The object that answers a form."""
        content = (urlencode(fields).encode(), "application/x-www-form-urlencoded")
        answer: dict[str, Any] = await self._call(_Ask(f"POST {path}", path, dict, content))
        return answer

    async def _call(self, ask: _Ask) -> Any:
        self._guard.retries.called()
        try:
            async with ask.time:
                return await self._retrying.copy()(self._try, ask)
        except TimeoutError:
            # What went wrong before the time was over says more than that it was over.
            raise ask.trouble or ContextUnavailable(f"{self._where(ask)}: no answer in {self._deadline:g} s") from None

    async def _try(self, ask: _Ask) -> Any:
        where, bad = self._where(ask), ""
        try:
            status, value = await self._attempt(ask)
            if status == HTTPStatus.UNAUTHORIZED and self._token is not None:
                status, value = await self._attempt(ask, fresh=True)
        except SendFailed as error:
            raise self._trouble(ask, f"{where}: {error}") from error
        except BadAnswer as error:
            # And nothing else of it: its trace holds on to the answer, which may be large.
            bad = f"{where}: {error}"
        if bad:
            raise BadAnswer(bad)
        if value is not None:
            return value
        refusal = answers.refusal(where, status)
        raise self._trouble(ask, str(refusal)) if status in answers.PASSING else refusal

    def _trouble(self, ask: _Ask, words: str) -> ContextUnavailable:
        """Worth another try, unless the API is out by now, or wants to be left alone."""
        ask.trouble = ContextUnavailable(words) if self._guard.out else _Passing(words)
        return ask.trouble

    async def _attempt(self, ask: _Ask, *, fresh: bool = False) -> tuple[int, Any]:
        """The status, and the value of a success."""
        # Before the slot: nothing that holds one waits for a second one.
        request = await self._request(ask, fresh=fresh)
        clock = asyncio.get_running_loop().time
        asked = clock()
        async with self._guard.visit() as visit:
            begun = clock()
            if ask.time.when() is None:
                ask.time.reschedule(begun + self._deadline)
            call = Call(self._guard.api, ask.endpoint, phases={"wait": begun - asked})
            try:
                return await self._exchange(request, ask, visit, call, fresh=fresh)
            except SendFailed as error:
                visit.health = Health.OVERLOADED
                call.result = "unreachable" if error.sent is Sent.NOTHING else "no_answer"
                raise
            except asyncio.CancelledError:
                if ask.time.expired():
                    visit.health, call.result = Health.OVERLOADED, "timeout"
                raise
            finally:
                call.seconds = clock() - begun
                self._observe(call)

    async def _exchange(
        self, request: httpx.Request, ask: _Ask, visit: Visit, call: Call, *, fresh: bool
    ) -> tuple[int, Any]:
        response = await self._transport.handle_async_request(request)
        status = response.status_code
        call.result = str(status)
        call.phases |= zip(("connect", "first_byte", "body"), response.extensions.get("times", ()), strict=False)
        call.server = answers.server_timing(response.headers.get_list("server-timing"))
        visit.health = answers.health(status)
        if visit.health is Health.OVERLOADED:
            visit.wish = retry_after(response.headers.get("retry-after"), time.time())
        if status == HTTPStatus.UNAUTHORIZED and self._token is not None:
            # A token that has just run out says nothing of the API; one that is fresh does.
            visit.health = Health.FAILED if fresh else Health.UNKNOWN
        if not HTTPStatus(200) <= status < HTTPStatus(300):
            return status, None
        try:
            return status, answers.parsed(await self._body(response), ask.shape)
        except BadAnswer:
            visit.health, call.result = Health.FAILED, "bad_answer"
            raise

    async def _body(self, response: httpx.Response) -> bytes:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise BadAnswer("encoded, though we did not ask for it: it may be gigabytes")
        body = await response.aread()
        if response.extensions.get("partial"):
            if len(body) >= self._max_bytes:
                raise BadAnswer(f"longer than {self._max_bytes} bytes")
            raise SendFailed(f"broke off after {len(body)} bytes", sent=Sent.UNKNOWN)
        return body

    async def _request(self, ask: _Ask, *, fresh: bool) -> httpx.Request:
        headers = {
            "accept": "application/json",
            "accept-encoding": "identity",  # a small compressed answer may be gigabytes
            "user-agent": "notification-sender",
        }
        if self._token is not None:
            headers["authorization"] = f"Bearer {await self._token(fresh=fresh)}"
            # W3C Trace Context, level 1: version, trace id, parent id, sampled.
            headers["traceparent"] = f"00-{self._random_bytes(16).hex()}-{self._random_bytes(8).hex()}-01"
        if ask.content is not None:
            headers["content-type"] = ask.content[1]
        return httpx.Request(
            ask.endpoint.partition(" ")[0],
            self._base_url + ask.url,
            headers=headers,
            content=ask.content and ask.content[0],
            extensions={"deadline": self._deadline, "max_bytes": self._max_bytes},
        )

    def _where(self, ask: _Ask) -> str:
        return f"{self._guard.api} {ask.endpoint}"
