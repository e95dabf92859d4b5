import asyncio
import gzip
import re
from typing import Any

import httpx
import pytest
from context.fakes import run_timeless

from notification_sender.context.upstream import BadAnswer, NotFound, Upstream
from notification_sender.model.errors import ContextUnavailable, NotificationSenderError, SendFailed, Sent


class Service:
    """One endpoint that answers as it is told, and everything that was asked of it."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.tokens: list[bool] = []
        self.observed: list[tuple[str, str, str]] = []

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def token(self, *, fresh: bool = False) -> str:
        self.tokens.append(fresh)
        return "fresh" if fresh else "old"

    def client(self, *, token: bool = True, base_url: str = "http://api.test", answer: Any = None) -> Upstream:
        return Upstream(
            name="incidents",
            base_url=base_url,
            transport=httpx.MockTransport(answer or self.answer),
            deadline=10.0,
            max_bytes=1000,
            observe=lambda api, endpoint, result, _: self.observed.append((api, endpoint, result)),
            token=self.token if token else None,
            random_bytes=lambda size: b"\xab" * size,
        )


def ok(value: Any) -> httpx.Response:
    return httpx.Response(200, json=value)


@pytest.mark.parametrize(
    ("answer", "error", "says", "result"),
    [
        (httpx.Response(404), NotFound, "answered 404", "404"),
        (httpx.Response(410), NotFound, "answered 410", "410"),
        (httpx.Response(400), ContextUnavailable, "answered 400", "400"),
        (httpx.Response(403), ContextUnavailable, "answered 403: our credentials are refused", "403"),
        (httpx.Response(429), ContextUnavailable, "answered 429", "429"),
        (httpx.Response(500), ContextUnavailable, "answered 500", "500"),
        (httpx.Response(503, content=b"<html>"), ContextUnavailable, "answered 503", "503"),
        (httpx.Response(302, headers={"location": "/"}), ContextUnavailable, "answered 302", "302"),
        (httpx.Response(200, content=b'{"a": 1'), BadAnswer, "not JSON: ", "bad_answer"),
        (httpx.Response(200, content=b"<html>"), BadAnswer, "not JSON: ", "bad_answer"),
        (httpx.Response(204), BadAnswer, "not JSON: ", "bad_answer"),
        (ok([]), BadAnswer, "list where the contract says dict", "bad_answer"),
        (httpx.Response(200, content=b"null"), BadAnswer, "NoneType where the contract says dict", "bad_answer"),
        (
            httpx.Response(200, content=gzip.compress(b"{}"), headers={"content-encoding": "gzip"}),
            BadAnswer,
            "not JSON: ",
            "bad_answer",
        ),
        (SendFailed("refused", sent=Sent.NOTHING), ContextUnavailable, "refused", "unreachable"),
        (SendFailed("reset", sent=Sent.UNKNOWN), ContextUnavailable, "reset", "no_answer"),
    ],
)
async def test_each_answer_means_one_thing(
    answer: httpx.Response | Exception, error: type[NotificationSenderError], says: str, result: str
) -> None:
    service = Service(answer)
    with pytest.raises(error) as caught:
        await service.client().get("/incidents/{}", "inc")
    assert type(caught.value) is error
    assert says in str(caught.value)
    assert str(caught.value).startswith("incidents GET /incidents/{}")
    assert service.observed == [("incidents", "GET /incidents/{}", result)]


async def test_a_refused_token_is_replaced_once() -> None:
    service = Service(httpx.Response(401), ok({"incident_id": "inc"}))
    assert await service.client().get("/incidents/{}", "inc") == {"incident_id": "inc"}
    assert [request.headers["authorization"] for request in service.requests] == ["Bearer old", "Bearer fresh"]
    assert [result for *_, result in service.observed] == ["401", "200"]


async def test_a_fresh_token_that_is_refused_too_is_no_server_error() -> None:
    service = Service(httpx.Response(401), httpx.Response(401))
    with pytest.raises(ContextUnavailable, match="answered 401: our credentials are refused"):
        await service.client().get("/incidents/{}", "inc")
    assert service.tokens == [False, True]


async def test_a_server_error_after_a_refused_token_is_reported_as_one() -> None:
    with pytest.raises(ContextUnavailable, match=r"answered 500$"):
        await Service(httpx.Response(401), httpx.Response(500)).client().get("/incidents/{}", "inc")


@pytest.mark.parametrize("base_url", ["http://api.test/v1", "http://api.test/v1/"])
async def test_ids_stay_in_their_place_of_the_path(base_url: str) -> None:
    service = Service(ok({}))
    await service.client(base_url=base_url).get("/incidents/{}", "a/../b?c#d é%2F", params={"q": "a b&c"})
    url = service.requests[0].url
    assert url.raw_path == b"/v1/incidents/a%2F..%2Fb%3Fc%23d%20%C3%A9%252F?q=a+b%26c"


@pytest.mark.parametrize("id_", [".", ".."])
async def test_an_id_that_walks_the_path_is_not_asked_for(id_: str) -> None:
    service = Service()
    with pytest.raises(NotFound):
        await service.client().get("/incidents/{}", id_)
    assert service.requests == []


async def test_what_a_call_carries() -> None:
    service = Service(ok([]))
    assert await service.client().post("/assets/bulk", {"asset_ids": ["a"]}) == []
    (request,) = service.requests
    assert request.content == b'{"asset_ids":["a"]}'
    assert request.headers["content-type"] == request.headers["accept"] == "application/json"
    assert request.headers["traceparent"] == f"00-{'ab' * 16}-{'ab' * 8}-01"
    assert (request.extensions["deadline"], request.extensions["max_bytes"]) == (10.0, 1000)


async def test_a_third_party_gets_neither_token_nor_trace() -> None:
    service = Service(ok({}), httpx.Response(401))
    await service.client(token=False).get("/reverse")
    assert not re.search("(?i)authorization|trace", str(service.requests[0].headers))
    with pytest.raises(ContextUnavailable, match="answered 401"):
        await service.client(token=False).get("/reverse")


def test_an_api_that_never_answers_is_left_at_the_deadline() -> None:
    service = Service()

    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def main() -> None:
        with pytest.raises(ContextUnavailable, match=r"^incidents GET /incidents/{}: no answer in 10 s$"):
            await service.client(answer=hang).get("/incidents/{}", "inc")

    assert run_timeless(main()) == pytest.approx(10.0)
    assert service.observed == [("incidents", "GET /incidents/{}", "interrupted")]


def test_a_second_try_has_what_is_left_of_the_deadline() -> None:
    service = Service()

    async def refuse_slowly(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(6)
        return httpx.Response(401)

    async def main() -> None:
        with pytest.raises(ContextUnavailable, match="no answer in 10 s"):
            await service.client(answer=refuse_slowly).get("/incidents/{}", "inc")

    assert run_timeless(main()) == pytest.approx(10.0)
