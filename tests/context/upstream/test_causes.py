"""What is put off names the source, the API, its status and how far the call came, whatever went wrong."""

import ast
import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import notification_sender
from notification_sender.context.cache.facts import Fact, decode, encode
from notification_sender.context.cache.leases import decode_fault, encode_fault
from notification_sender.context.gather import Gatherer
from notification_sender.context.recipe import Recipe
from notification_sender.context.upstream.client import Upstream
from notification_sender.context.upstream.guard import Guard
from notification_sender.context.upstream.tokens import Tokens
from notification_sender.fleet.circuit import Change
from notification_sender.model.cause import Cause, Phase
from notification_sender.model.errors import ContextUnavailable, PlatformFault, Sent, SubjectNotFound, TransportError
from notification_sender.model.unit import WorkUnit
from tests.context.fakes import CountingSharedCache, LoopClock, cache_of, guard_of, run_timeless

DEADLINE = 10.0
Answer = Callable[[httpx.Request], Any]
PACKAGE = Path(notification_sender.__file__).parent


class Fleet:
    """One process more for each ``pod``; all of them over one shared, each with guards of its own."""

    def __init__(self, incidents: Answer, aaa: Answer | None = None) -> None:
        self.clock = LoopClock()
        self.shared = CountingSharedCache(self.clock)
        self.answers = {"incidents": incidents, "aaa": aaa or token}
        self.guards: dict[str, Guard] = {}

    def pod(self, timeout: float = 2 * DEADLINE) -> Gatherer:
        self.guards = {api: guard_of(api, self.clock) for api in self.answers}
        tokens = Tokens(aaa=self.client("aaa"), client_id="us", client_secret="proof", clock=self.clock)

        async def bearer(*, fresh: bool = False) -> str:
            return await tokens.token(fresh=fresh)

        incidents, recipe = self.client("incidents", bearer), Recipe("trial", subject=lambda _: "incident")

        @recipe.fetched(ttl="60s")
        async def incident(unit: WorkUnit, incidents: Upstream) -> Any:
            return await incidents.get("/incidents/{}", str(unit.incident_id))

        @recipe.batch(ttl="60s", ids=lambda: ["a-1", "a-2"])
        async def assets(ids: list[str], incidents: Upstream) -> Any:
            return dict.fromkeys(ids, (await incidents.post("/assets", {"ids": ids}))[0])

        cache = cache_of(self.clock, self.shared, deadline=2 * DEADLINE)
        return Gatherer(recipe=recipe, resources={"incidents": incidents}, cache=cache, timeout=timeout)

    def client(self, api: str, bearer: Any = None) -> Upstream:
        async def answer(request: httpx.Request) -> httpx.Response:
            said = self.answers[api](request)
            return await said if asyncio.iscoroutine(said) else said  # type: ignore[no-any-return]

        return Upstream(
            base_url=f"http://{api}.test",
            transport=httpx.MockTransport(answer),
            guard=self.guards[api],
            deadline=DEADLINE,
            max_bytes=1000,
            observe=lambda _: None,
            token=bearer,
        )


def token(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"access_token": "t", "expires_in": 600})


def status(code: int) -> Answer:
    return lambda _: httpx.Response(code)


def fails(sent: Sent) -> Answer:
    def fail(_: httpx.Request) -> None:
        raise TransportError("it broke", sent=sent)

    return fail


def says(body: bytes, **extensions: Any) -> Answer:
    return lambda _: httpx.Response(200, content=body, extensions=extensions)


def hangs(*phases: tuple[Phase, int | None]) -> Answer:
    async def hang(request: httpx.Request) -> None:
        for phase, code in phases:
            request.extensions["reach"](phase, code)
        await asyncio.Event().wait()

    return hang


def unit() -> WorkUnit:
    return WorkUnit.model_validate({"work_unit_id": "wu", "organization_id": "acme", "incident_id": "inc-1"})


def why(gather: Callable[[], Any]) -> Cause:
    """The cause of what gathering raises."""
    causes: list[Cause] = []

    async def main() -> None:
        try:
            await gather()
        except PlatformFault as fault:
            causes.append(fault.cause)

    run_timeless(main())
    [cause] = causes
    return cause


ASKED, BEGUN = (Phase.FIRST_BYTE, None), (Phase.BODY, 200)
KINDS: dict[str, tuple[Answer, int | None, Phase]] = {
    **{str(code): (status(code), code, Phase.READ) for code in (302, 400, 401, 403, 404, 410, 422, 429, 500, 502, 503)},
    "no connection": (fails(Sent.NOTHING), None, Phase.CONNECT),
    "closed without an answer": (fails(Sent.UNKNOWN), None, Phase.FIRST_BYTE),
    "broke off": (says(b"{", partial=True), 200, Phase.BODY),
    "too long": (says(b"1" * 1000, partial=True), 200, Phase.READ),
    "no JSON": (says(b"<html>"), 200, Phase.READ),
    "a list": (says(b"[]"), 200, Phase.READ),
    "half a pair": (says(b'{"a": "\\ud800"}'), 200, Phase.READ),
    "no connection in time": (hangs(), None, Phase.CONNECT),
    "no answer in time": (hangs(ASKED), None, Phase.FIRST_BYTE),
    "a drip feed": (hangs(ASKED, BEGUN), 200, Phase.BODY),
}


@pytest.mark.parametrize(("answer", "code", "phase"), KINDS.values(), ids=KINDS)
def test_each_way_to_fail_is_named(answer: Answer, code: int | None, phase: Phase) -> None:
    fleet = Fleet(answer)
    cause = why(lambda: fleet.pod().gather(unit(), frozenset({"incident"})))
    assert cause == Cause("incident", "incidents", code, phase)


BULK = {name: kind for name, kind in KINDS.items() if name not in {"404", "410", "a list"}}


@pytest.mark.parametrize(("answer", "code", "phase"), BULK.values(), ids=BULK)
def test_in_a_bulk_call_too(answer: Answer, code: int | None, phase: Phase) -> None:
    def of_assets(request: httpx.Request) -> Any:
        return answer(request) if request.url.path == "/assets" else httpx.Response(200, json={"modified": None})

    fleet = Fleet(of_assets)
    cause = why(lambda: fleet.pod(100.0).gather(unit(), frozenset({"assets"})))
    assert cause == Cause("assets", "incidents", code, phase)


OF_TOKENS = {name: kind for name, kind in KINDS.items() if name not in {"401", "half a pair"}}


@pytest.mark.parametrize(("answer", "code", "phase"), OF_TOKENS.values(), ids=OF_TOKENS)
def test_where_no_token_could_be_had_it_is_that(answer: Answer, code: int | None, phase: Phase) -> None:
    fleet = Fleet(says(b"{}"), aaa=answer)
    cause = why(lambda: fleet.pod().gather(unit()))
    assert cause == Cause("token", "aaa", code, phase)


@pytest.mark.parametrize("code", [400, 422, 500])
def test_a_token_that_could_not_be_had_is_not_taken_for_an_answer_about_one_of_many_ids(code: int) -> None:
    asked: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(code)

    fleet = Fleet(says(b"{}"), aaa=refuse)
    pod = fleet.pod()
    fleet.guards["aaa"].retries.spend = lambda: False  # type: ignore[method-assign]
    assert why(lambda: pod.gather(unit(), frozenset({"assets"}))).source == "token"
    assert len(asked) == 2, "one for each of the two sources, and none for a half of the ids"


@pytest.mark.parametrize(("api", "source"), [("incidents", "incident"), ("aaa", "token")])
def test_what_is_out_is_named_though_it_was_not_asked(api: str, source: str) -> None:
    fleet = Fleet(says(b"{}"))
    pod = fleet.pod()

    async def out() -> None:
        fleet.guards[api].apply(Change("out", 5.0))
        await pod.gather(unit(), frozenset({"incident"}))

    assert why(out) == Cause(source, api, None, Phase.BREAKER)


def test_a_slot_that_does_not_come_free_is_named() -> None:
    fleet = Fleet(says(b"{}"))
    pod = fleet.pod()
    fleet.guards["incidents"]._gate._limit = lambda: 0
    cause = why(lambda: pod.gather(unit(), frozenset({"incident"})))
    assert cause == Cause("incident", "incidents", None, Phase.SLOT)


@pytest.mark.parametrize(("answer", "code", "phase"), [KINDS["no answer in time"], KINDS["a drip feed"]])
def test_what_is_broken_off_by_the_time_for_all_facts_is_told_as_far_as_it_came(
    answer: Answer, code: int | None, phase: Phase
) -> None:
    fleet = Fleet(answer)
    cause = why(lambda: fleet.pod(timeout=DEADLINE / 2).gather(unit(), frozenset({"incident"})))
    assert cause == Cause("incident", "incidents", code, phase)


def test_who_waited_for_another_units_fetch_in_vain_says_so() -> None:
    fleet = Fleet(hangs(ASKED))
    pod = fleet.pod(timeout=DEADLINE / 2)

    async def both() -> None:
        first = asyncio.create_task(pod.gather(unit(), frozenset({"incident"})))
        await asyncio.sleep(1.0)
        second = asyncio.create_task(pod.gather(unit(), frozenset({"incident"})))
        await asyncio.gather(first, return_exceptions=True)
        await second

    assert why(both) == Cause("incident", "incidents", None, Phase.SHARED)


def test_who_waits_for_another_process_is_told_what_that_one_knows() -> None:
    fleet = Fleet(status(403))

    async def slowly(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(1.0)
        return httpx.Response(403)

    fleet.answers["incidents"] = slowly
    here, there = fleet.pod(), fleet.pod()

    async def both() -> None:
        first = asyncio.create_task(here.gather(unit(), frozenset({"incident"})))
        await asyncio.sleep(0.5)
        fleet.answers["incidents"] = says(b"{}")
        second = asyncio.create_task(there.gather(unit(), frozenset({"incident"})))
        await asyncio.gather(first, return_exceptions=True)
        await second

    assert why(both) == Cause("incident", "incidents", 403, Phase.READ)


def test_what_another_version_tells_is_read_as_far_as_it_goes() -> None:
    fault = ContextUnavailable("two\nlines", cause=Cause("token", "aaa", 503, Phase.READ))
    again = decode_fault(encode_fault(fault))
    assert (str(again), again.cause) == (str(fault), fault.cause)
    for words in (
        "its words alone",
        "and\na second line",
        '7\n{"api": 7, "phase": "unheard-of", "status": "x"}',
        "7\n7",
    ):
        assert decode_fault(words).cause == Cause()


def test_it_is_kept_with_what_is_remembered() -> None:
    for copy in (
        Fact(None, 1.0, 2.0, words="answered 404", cause=Cause(api="aaa", status=404, phase=Phase.READ)),
        Fact(None, 1.0, 2.0, words="no JSON", bad=True, cause=Cause(api="aaa", status=200, phase=Phase.READ)),
    ):
        assert asyncio.run(decode("key", "acme", encode("key", "acme", copy), 1.0, 2.0)) == copy


def made(tree: ast.AST, names: set[str]) -> list[ast.Call]:
    calls = [it for it in ast.walk(tree) if isinstance(it, ast.Call)]
    return [it for it in calls if isinstance(it.func, ast.Name) and it.func.id in names]


def test_nobody_says_that_context_is_unavailable_and_not_why() -> None:
    names = {ContextUnavailable.__name__, SubjectNotFound.__name__}
    bare = [
        f"{path.relative_to(PACKAGE)}:{call.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for call in made(ast.parse(path.read_bytes()), names)
        if "cause" not in {it.arg for it in call.keywords}
    ]
    assert not bare
