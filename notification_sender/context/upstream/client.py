"""The client of one API behind its guard: deadline, token, trace, retries."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import httpx
import orjson
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from notification_sender.context.upstream import responses
from notification_sender.context.upstream.errors import BadAnswer, BadRecord, Broken, Foreign, NotFound
from notification_sender.context.upstream.guard import CallPermit, Guard, Health
from notification_sender.context.upstream.requesting_organization import requesting_organization
from notification_sender.context.upstream.responses import Call
from notification_sender.model.cause import NOBODY_KNOWS, Cause, Phase, record_progress
from notification_sender.model.errors import ContextUnavailable, Sent, TransportError
from notification_sender.policy.retry import retry_after
from notification_sender.telemetry.delivery_spans import TracedCall
from notification_sender.telemetry.lag import Deadline
from notification_sender.telemetry.traces import untraced

__all__ = ["BadAnswer", "Bearer", "Foreign", "NotFound", "Upstream"]

TRIES = 3

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds: pauses between tries are spread evenly from nothing to a cap that doubles from the first of these."""

_UNDER_WAY = (Phase.CONNECT, Phase.FIRST_BYTE, Phase.BODY)
"""A call that ends in one of these phases took its time there."""

Observe = Callable[[Call], None]
"""Called after every try."""


class Bearer(Protocol):
    """Gets the service token. ``fresh``: the last one was refused."""

    async def __call__(self, *, fresh: bool = False) -> str: ...


@dataclass(slots=True)
class _ApiRequest:
    """One question to an API, however often it is tried."""

    endpoint: str
    url: str
    shape: type
    name: str = ""
    """The name of the one thing that is asked for."""
    content: tuple[bytes, str] | None = None
    time: Deadline = field(default_factory=Deadline)
    """One deadline for all tries. It runs from the first slot on."""
    trouble: ContextUnavailable | None = None
    """The error of the last try."""
    cause: Cause = field(default_factory=Cause)
    """How far the last try came."""
    trace: TracedCall = field(default_factory=untraced)
    """Of the last try."""

    def reach(self, phase: Phase, status: int | None = None) -> None:
        """Note that the try has come to ``phase``."""
        self.cause = Cause(api=self.cause.api, status=status, phase=phase)
        record_progress(self.cause)


class _Retryable(ContextUnavailable):
    """Another try may succeed."""


class _RetryableBroken(_Retryable, Broken):
    """Another try may succeed, and the failure may be about the thing asked for."""


class Upstream:
    """``deadline``: seconds for a question from its first slot on, all tries included. A question that waited for its
    slot is not cut off half-way.

    Without ``token`` the API may be a third party, and gets no trace either. ``transport`` raises TransportError alone,
    and returns what came of an answer that broke off. All calls raise NotFound, BadAnswer or ContextUnavailable (Outage
    where the circuit is open and the API was not called). This is the only layer that tries again.
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
        trace: Callable[[], TracedCall] = untraced,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._transport = transport
        self._guard = guard
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._observe = observe
        self._token = token
        self._trace = trace
        self._retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, _Retryable) and guard.retries.spend()),
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
            reraise=True,
        )

    @property
    def api(self) -> str:
        return self._guard.api

    async def get(self, path: str, *ids: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The object at ``path``, whose ``{}`` are filled with ``ids``."""
        if not {".", ".."}.isdisjoint(ids):  # a client would walk up the path, whatever is quoted
            cause = Cause(api=self.api, phase=Phase.READ)
            raise NotFound(f"{self.api} {path}: no such id", cause=cause)
        query = f"?{urlencode(params)}" if params else ""
        url = path.format(*(quote(id_, safe="") for id_ in ids)) + query
        answer: dict[str, Any] = await self._call(_ApiRequest(f"GET {path}", url, dict, ", ".join(ids)))
        return answer

    async def post(self, path: str, body: Mapping[str, Any]) -> list[Any]:
        """The list that answers a JSON body: a bulk call."""
        content = (orjson.dumps(body), "application/json")
        answer: list[Any] = await self._call(_ApiRequest(f"POST {path}", path, list, content=content))
        return answer

    async def form(self, path: str, fields: Mapping[str, str]) -> dict[str, Any]:
        """The object that answers a form."""
        content = (urlencode(fields).encode(), "application/x-www-form-urlencoded")
        answer: dict[str, Any] = await self._call(_ApiRequest(f"POST {path}", path, dict, content=content))
        return answer

    async def _call(self, ask: _ApiRequest) -> Any:
        self._guard.retries.called()
        ask.cause = Cause(api=self.api)
        try:
            async with ask.time:
                return await self._retrying.copy()(self._try, ask)
        except TimeoutError:
            # The error of the last try says more than the deadline.
            words = f"{self._where(ask)}: no answer in {self._deadline:g} s"
            raise ask.trouble or ContextUnavailable(words, cause=ask.cause) from None

    async def _try(self, ask: _ApiRequest) -> Any:
        where = self._where(ask)
        bad: BadAnswer | None = None
        try:
            status, value = await self._attempt(ask)
            if status == HTTPStatus.UNAUTHORIZED and self._token is not None:
                status, value = await self._attempt(ask, fresh=True)
        except TransportError as error:
            raise self._trouble(ask, f"{where}: {error}") from error
        except BadAnswer as error:
            # The error itself is dropped: its traceback holds the answer, which may be large.
            cause = error.cause.completed(replace(ask.cause, phase=Phase.READ))
            bad = type(error)(f"{self._named(ask)}: {error}", cause=cause)
        if bad is not None:
            raise bad
        if value is not None:
            record_progress(NOBODY_KNOWS)
            return value
        if status in responses.PASSING:
            refusal = responses.refusal(where, status, self.api)
            raise self._trouble(ask, str(refusal), broken=isinstance(refusal, Broken))
        raise responses.refusal(self._named(ask), status, self.api)

    def _trouble(self, ask: _ApiRequest, words: str, *, broken: bool = False) -> ContextUnavailable:
        """The error of a try. It is worth another one, unless the circuit is open by now."""
        retryable = _RetryableBroken if broken else _Retryable
        kind = ContextUnavailable if self._guard.out else retryable
        ask.trouble = kind(words, cause=ask.cause)
        return ask.trouble

    async def _attempt(self, ask: _ApiRequest, *, fresh: bool = False) -> tuple[int, Any]:
        """The status, and the value of a success."""
        # Before the slot: a call that holds one never waits for a second one.
        ask.trace = self._trace()
        request = await self._request(ask, fresh=fresh)
        asked = asyncio.get_running_loop().time()
        ask.reach(Phase.SLOT)
        permit = await self._guard.acquire()
        try:
            return await self._permitted(request, ask, permit, asked, fresh=fresh)
        finally:
            await self._guard.release(permit)

    async def _permitted(
        self, request: httpx.Request, ask: _ApiRequest, permit: CallPermit, asked: float, *, fresh: bool
    ) -> tuple[int, Any]:
        """Make the call, and write down how it went. ``asked``: when the wait for the permit began."""
        ask.reach(Phase.CONNECT)
        clock = asyncio.get_running_loop().time
        begun = clock()
        if not ask.time.begun:
            ask.time.begin(self._deadline)
        call = Call(self.api, ask.endpoint, phases={"wait": begun - asked}, trace=ask.trace)
        call.is_traced_by_api = self._token is not None
        try:
            return await self._exchange(request, ask, permit, call, fresh=fresh)
        except TransportError as error:
            permit.health = Health.OVERLOADED
            call.result = "unreachable" if error.sent is Sent.NOTHING else "no_answer"
            permit.organization = "" if error.sent is Sent.NOTHING else requesting_organization.get()
            if error.sent is not Sent.NOTHING and ask.cause.phase is Phase.CONNECT:
                ask.reach(Phase.FIRST_BYTE)
            raise
        except asyncio.CancelledError:
            if ask.time.expired():
                permit.health, call.result, permit.organization = (
                    Health.OVERLOADED,
                    "timeout",
                    requesting_organization.get(),
                )
            raise
        finally:
            call.seconds = clock() - begun
            if ask.cause.phase in _UNDER_WAY:
                call.phases.setdefault(ask.cause.phase.value, call.seconds)
            self._observe(call)

    async def _exchange(
        self, request: httpx.Request, ask: _ApiRequest, permit: CallPermit, call: Call, *, fresh: bool
    ) -> tuple[int, Any]:
        response = await self._transport.handle_async_request(request)
        status = response.status_code
        call.result = str(status)
        ask.reach(Phase.READ, status)
        call.phases |= zip(("connect", "first_byte", "body"), response.extensions.get("times", ()), strict=False)
        permit.first_byte = call.phases.get("first_byte", 0.0)
        call.server = responses.server_timing(response.headers.get_list("server-timing"))
        permit.health = responses.health(status)
        if permit.health is Health.OVERLOADED:
            permit.wish = retry_after(response.headers.get("retry-after"), time.time())
        if status == HTTPStatus.UNAUTHORIZED and self._token is not None:
            # The refusal of a token that has just expired says nothing of the API; that of a fresh one does.
            permit.health = Health.FAILED if fresh else Health.UNKNOWN
        if permit.health is Health.WELL or responses.of_one_record(status):
            permit.organization = requesting_organization.get()
        if not HTTPStatus(200) <= status < HTTPStatus(300):
            return status, None
        try:
            return status, await responses.parsed(await self._body(response, ask), ask.shape)
        except BadRecord:
            call.result, permit.organization = "bad_record", requesting_organization.get()
            if permit.organization:  # unreadable records of all organizations are an outage
                permit.health = Health.FAILED
            raise
        except BadAnswer:
            permit.health, call.result, permit.organization = Health.FAILED, "bad_answer", requesting_organization.get()
            raise

    async def _body(self, response: httpx.Response, ask: _ApiRequest) -> bytes:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise BadAnswer("encoded, though we did not ask for it: it may be gigabytes")
        body = await response.aread()
        if response.extensions.get("partial"):
            if len(body) >= self._max_bytes:
                raise BadAnswer(f"longer than {self._max_bytes} bytes")
            ask.reach(Phase.BODY, response.status_code)
            raise TransportError(f"broke off after {len(body)} bytes", sent=Sent.UNKNOWN)
        return body

    async def _request(self, ask: _ApiRequest, *, fresh: bool) -> httpx.Request:
        headers = {
            "accept": "application/json",
            "accept-encoding": "identity",  # a small compressed answer may be gigabytes
            "user-agent": "notification-sender",
        }
        if self._token is not None:
            headers["authorization"] = f"Bearer {await self._token(fresh=fresh)}"
            headers["traceparent"] = ask.trace.context.traceparent
        if ask.content is not None:
            headers["content-type"] = ask.content[1]
        return httpx.Request(
            ask.endpoint.partition(" ")[0],
            self._base_url + ask.url,
            headers=headers,
            content=ask.content and ask.content[0],
            extensions={"deadline": self._deadline, "max_bytes": self._max_bytes, "reach": ask.reach},
        )

    def _where(self, ask: _ApiRequest) -> str:
        return f"{self.api} {ask.endpoint}"

    def _named(self, ask: _ApiRequest) -> str:
        """The question, with the name of the one thing asked for."""
        return f"{self._where(ask)} of {ask.name}" if ask.name else self._where(ask)
