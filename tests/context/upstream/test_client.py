import asyncio
import gzip
import re
from contextlib import suppress
from typing import Any

import httpx
import pytest

from notification_sender.context.upstream.client import BadAnswer, NotFound, Upstream
from notification_sender.context.upstream.requesting_organization import requesting_organization
from notification_sender.context.upstream.responses import Call
from notification_sender.fleet.circuit import Change
from notification_sender.model.cause import Phase
from notification_sender.model.errors import ContextUnavailable, NotificationSenderError, Sent, TransportError
from notification_sender.model.trace import TraceContext
from notification_sender.ports.clock import Clock
from notification_sender.telemetry.delivery_spans import TracedCall
from tests.context.fakes import LoopClock, guard_of, run_timeless, until


class Service:
    """One endpoint that answers as it is told, and everything that was asked of it."""

    def __init__(self, *answers: httpx.Response | Exception, clock: Clock | None = None) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.tokens: list[bool] = []
        self.observed: list[tuple[str, str, str]] = []
        self.guard = guard_of(clock=clock)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def token(self, *, fresh: bool = False) -> str:
        self.tokens.append(fresh)
        return "fresh" if fresh else "old"

    def client(self, *, token: bool = True, base_url: str = "http://api.test", answer: Any = None) -> Upstream:
        return Upstream(
            base_url=base_url,
            transport=httpx.MockTransport(answer or self.answer),
            guard=self.guard,
            deadline=10.0,
            max_bytes=1000,
            observe=lambda call: self.observed.append((call.api, call.endpoint, call.result)),
            token=self.token if token else None,
            trace=lambda: TracedCall(TraceContext("ab" * 16, "ab" * 8)),
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
            "encoded, though we did not ask for it",
            "bad_answer",
        ),
        (TransportError("refused", sent=Sent.NOTHING), ContextUnavailable, "refused", "unreachable"),
        (TransportError("reset", sent=Sent.UNKNOWN), ContextUnavailable, "reset", "no_answer"),
    ],
)
async def test_each_answer_means_one_thing(
    answer: httpx.Response | Exception, error: type[NotificationSenderError], says: str, result: str
) -> None:
    service = Service(answer)
    with pytest.raises(error) as caught:
        await service.client().get("/incidents/{}", "inc")
    assert isinstance(caught.value, error)
    assert says in str(caught.value)
    assert str(caught.value).startswith("incidents GET /incidents/{}")
    assert set(service.observed) == {("incidents", "GET /incidents/{}", result)}


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
    assert service.observed == [("incidents", "GET /incidents/{}", "timeout")]


def test_the_time_of_a_call_that_does_not_end_counts_for_the_phase_that_it_had_reached() -> None:
    service, calls = Service(), list[Call]()

    async def hang(request: httpx.Request) -> httpx.Response:
        request.extensions["reach"](Phase.FIRST_BYTE)
        await asyncio.Event().wait()
        raise AssertionError

    async def main() -> None:
        client = service.client(answer=hang)
        client._observe = calls.append
        with pytest.raises(ContextUnavailable):
            await client.get("/incidents/{}", "inc")

    run_timeless(main())
    assert calls[0].phases == {"wait": 0.0, "first_byte": pytest.approx(10.0)}


def test_a_second_try_has_what_is_left_of_the_deadline() -> None:
    service = Service()

    async def refuse_slowly(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(6)
        return httpx.Response(401)

    async def main() -> None:
        with pytest.raises(ContextUnavailable, match="no answer in 10 s"):
            await service.client(answer=refuse_slowly).get("/incidents/{}", "inc")

    assert run_timeless(main()) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("answer", "tries"),
    [
        (httpx.Response(500), 3),
        (httpx.Response(503), 3),
        (httpx.Response(503, headers={"retry-after": "2"}), 1),
        (httpx.Response(501), 1),
        (httpx.Response(429), 1),
        (httpx.Response(403), 1),
        (httpx.Response(404), 1),
        (httpx.Response(302), 1),
        (httpx.Response(200, content=b"<html>"), 1),
        (TransportError("refused", sent=Sent.NOTHING), 3),
        (TransportError("reset", sent=Sent.UNKNOWN), 3),
    ],
)
def test_only_what_may_be_mended_a_moment_later_is_tried_again(answer: httpx.Response | Exception, tries: int) -> None:
    service = Service(answer)

    async def main() -> None:
        with pytest.raises(NotificationSenderError):
            await service.client().get("/incidents/{}", "inc")

    assert run_timeless(main()) <= 0.1 + 0.2
    assert len(service.requests) == tries


def test_a_try_that_goes_well_after_one_that_did_not_is_as_good() -> None:
    service = Service(TransportError("reset", sent=Sent.UNKNOWN), httpx.Response(502), ok({"incident_id": "inc"}))

    async def main() -> None:
        assert await service.client().get("/incidents/{}", "inc") == {"incident_id": "inc"}

    run_timeless(main())


def test_retries_are_a_fifth_of_what_is_called() -> None:
    clock = LoopClock()
    service = Service(httpx.Response(500), clock=clock)

    async def main() -> None:
        for _ in range(400):
            service.guard.apply(Change("well", 0.0))  # so that it is the budget that is seen
            with pytest.raises(ContextUnavailable):
                await service.client().get("/incidents/{}", "inc")

    run_timeless(main())
    assert 400 < len(service.requests) <= 400 * 1.2 + 2


def test_what_went_wrong_is_told_although_the_time_was_over_meanwhile() -> None:
    service, slow = Service(), asyncio.Event()

    async def fail_then_hang(_: httpx.Request) -> httpx.Response:
        if not slow.is_set():
            slow.set()
            return httpx.Response(502)
        await asyncio.Event().wait()
        raise AssertionError

    async def main() -> None:
        with pytest.raises(ContextUnavailable, match=r"answered 502$"):
            await service.client(answer=fail_then_hang).get("/incidents/{}", "inc")

    assert run_timeless(main()) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ('db;dur=53.2, app;dur=47;desc="all, of it"', {"db": 0.0532, "app": 0.047}),
        ("cache;desc=hit, total;dur=2", {"total": 0.002}),
        ('a;desc="x";dur=1.5', {"a": 0.0015}),
        ("nonsense;;dur=, =;dur=4, " + "x" * 100_000, {}),
    ],
)
async def test_what_a_server_says_of_its_own_time_is_kept_beside_ours(header: str, seconds: dict[str, float]) -> None:
    service = Service(httpx.Response(200, json={}, headers={"server-timing": header}))
    calls: list[Call] = []
    client = service.client()
    client._observe = calls.append
    await client.get("/x")
    assert calls[0].server == pytest.approx(seconds)
    assert calls[0].phases.keys() == {"wait"}


def test_a_token_that_comes_too_late_is_no_trouble_of_the_api_that_needs_it() -> None:
    service = Service()

    async def refuse(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.1)
        return httpx.Response(401)

    async def slow_token(*, fresh: bool = False) -> str:
        await asyncio.sleep(12 if fresh else 0)
        return "token"

    async def main() -> None:
        client = service.client(answer=refuse)
        client._token = slow_token
        with pytest.raises(ContextUnavailable, match="no answer in 10 s"):
            await client.get("/incidents/{}", "inc")

    assert run_timeless(main()) == pytest.approx(10.0)
    assert [result for *_, result in service.observed] == ["401"]
    assert service.guard._circuit.has_no_failures
    assert service.guard.summary()["limit"] == 50


def test_a_try_that_finds_no_slot_in_time_is_not_begun() -> None:
    service = Service(TransportError("reset", sent=Sent.UNKNOWN))

    async def main() -> None:
        first = asyncio.create_task(service.client().get("/incidents/{}", "inc"))
        await until(lambda: bool(service.requests))
        service.guard._gate._limit = lambda: 0  # others have taken every slot meanwhile
        with pytest.raises(ContextUnavailable, match="reset"):
            await first

    assert run_timeless(main()) == pytest.approx(10.0)
    assert len(service.requests) == 1


# --- trouble of one record, and trouble of the API


TROUBLE: dict[str, Any] = {
    "half a pair": lambda: httpx.Response(200, content=b'{"a": "\\ud83d"}'),
    "HTML": lambda: httpx.Response(200, content=b"<html>"),
    "500": lambda: httpx.Response(500),
    "403": lambda: httpx.Response(403),
    "302": lambda: httpx.Response(302, headers={"location": "/"}),
    "reset": lambda: TransportError("reset", sent=Sent.UNKNOWN),
}


async def ask(client: Upstream, organization: str) -> None:
    requesting_organization.set(organization)
    with suppress(NotificationSenderError):
        await client.get("/incidents/{}", "inc")


@pytest.mark.parametrize("kind", TROUBLE)
def test_what_one_organization_meets_takes_the_api_from_nobody(kind: str) -> None:
    service = Service(clock=LoopClock())

    async def answer(_: httpx.Request) -> httpx.Response:
        if requesting_organization.get() == "good":
            return ok({})
        trouble = TROUBLE[kind]()
        if isinstance(trouble, Exception):
            raise trouble
        assert isinstance(trouble, httpx.Response)
        return trouble

    async def main() -> None:
        client = service.client(answer=answer)
        for number in range(200):
            await asyncio.create_task(ask(client, "odd" if number % 10 else "good"))
            assert not service.guard.out
        assert service.guard.summary()["limit"] >= 50 * 0.7

    run_timeless(main())


@pytest.mark.parametrize("kind", TROUBLE)
@pytest.mark.parametrize(("organizations", "most"), [(3, 7), (10, 7), (1, 25), (0, 5)])
def test_what_everybody_meets_is_trouble_of_the_api(kind: str, organizations: int, most: int) -> None:
    service = Service(TROUBLE[kind](), clock=LoopClock())

    async def main() -> None:
        client = service.client()
        for number in range(most):
            await asyncio.create_task(ask(client, f"org-{number % organizations}" if organizations else ""))
        # A record that is nobody's, as a token, is no record.
        assert service.guard.out or (kind == "half a pair" and not organizations)

    run_timeless(main())
