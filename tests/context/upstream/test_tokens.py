import asyncio
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from notification_sender.context.upstream import tokens as tokens_module
from notification_sender.context.upstream.client import Upstream
from notification_sender.context.upstream.tokens import JUST_REPLACED, OutboundTokens, TokenOwner, Tokens
from notification_sender.model.errors import ContextUnavailable
from tests.context.fakes import MovedClock, guard_of, until

HERE = "https://hooks.example"


class Aaa:
    """The token endpoint: every answer is another token."""

    def __init__(self, **answer: Any) -> None:
        self.forms: list[dict[str, list[str]]] = []
        self.answer = {"token_type": "Bearer", "expires_in": 3600} | answer
        self.status = 200
        self.gate = asyncio.Event()
        self.gate.set()
        self.clock = MovedClock()
        client = Upstream(
            base_url="http://aaa.test",
            transport=httpx.MockTransport(self._serve),
            guard=guard_of("aaa", self.clock),
            deadline=10.0,
            max_bytes=10_000,
            observe=lambda *_: None,
        )
        self.tokens = Tokens(aaa=client, client_id="us", client_secret="s3cret&", clock=self.clock)

    async def _serve(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/oauth/token"
        assert "authorization" not in request.headers
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        self.forms.append(parse_qs(request.content.decode()))
        number = len(self.forms)
        await self.gate.wait()
        return httpx.Response(self.status, json={"access_token": f"token-{number}"} | self.answer)


async def test_client_credentials_buy_a_token_that_is_kept() -> None:
    aaa = Aaa()
    assert [await aaa.tokens.token(), await aaa.tokens.token()] == ["token-1", "token-1"]
    assert aaa.forms == [{"grant_type": ["client_credentials"], "client_id": ["us"], "client_secret": ["s3cret&"]}]


@pytest.mark.parametrize(
    ("expires_in", "usable"), [(3600, 3570.0), (5, 4.5), ("100", 90.0), (None, 54.0), ("soon", 54.0)]
)
async def test_a_token_is_renewed_before_it_expires(expires_in: object, usable: float) -> None:
    aaa = Aaa(expires_in=expires_in)
    await aaa.tokens.token()
    aaa.clock.time += usable - 0.01
    assert await aaa.tokens.token() == "token-1"
    aaa.clock.time += 0.02
    assert await aaa.tokens.token() == "token-2"


async def test_a_token_that_is_expired_as_it_comes_is_used_once() -> None:
    aaa = Aaa(expires_in=0)
    assert [await aaa.tokens.token(), await aaa.tokens.token()] == ["token-1", "token-2"]


async def test_all_who_need_one_at_once_share_one_call() -> None:
    aaa = Aaa()
    aaa.gate.clear()
    asking = [asyncio.create_task(aaa.tokens.token()) for _ in range(75)]
    await until(lambda: bool(aaa.forms))
    aaa.gate.set()
    assert set(await asyncio.gather(*asking)) == {"token-1"}
    assert len(aaa.forms) == 1


async def test_one_refused_token_is_replaced_once_for_all_who_carried_it() -> None:
    aaa = Aaa()
    await aaa.tokens.token()
    aaa.gate.clear()
    asking = [asyncio.create_task(aaa.tokens.token(fresh=True)) for _ in range(75)]
    await until(lambda: len(aaa.forms) == 2)
    aaa.gate.set()
    assert set(await asyncio.gather(*asking)) == {"token-2"}
    assert await aaa.tokens.token(fresh=True) == "token-2", "a straggler, refused with the one before"
    aaa.clock.time += JUST_REPLACED
    assert await aaa.tokens.token(fresh=True) == "token-3"


async def test_a_first_token_that_is_refused_is_replaced_at_once() -> None:
    aaa = Aaa()
    assert [await aaa.tokens.token(), await aaa.tokens.token(fresh=True)] == ["token-1", "token-2"]


async def test_destinations_of_one_id_in_two_organizations_have_tokens_of_their_own() -> None:
    aaa = Aaa()
    outbound = OutboundTokens(aaa.tokens)
    tokens = [await outbound.token(it, "hook", HERE) for it in ("acme", "other", "acme")]
    assert tokens == ["token-1", "token-2", "token-1"]
    assert [(form["audience"], form["organization_id"], form["resource"]) for form in aaa.forms] == [
        (["hook"], ["acme"], [HERE]),
        (["hook"], ["other"], [HERE]),
    ]
    assert await aaa.tokens.token() == "token-3"


async def test_a_token_is_shown_at_no_other_place_than_it_was_asked_for() -> None:
    aaa = Aaa()
    outbound = OutboundTokens(aaa.tokens)
    places = [HERE, "https://elsewhere.example", "http://hooks.example", "https://hooks.example:8443", HERE]
    tokens = [await outbound.token("acme", "hook", it) for it in places]
    assert tokens == ["token-1", "token-2", "token-3", "token-4", "token-1"]
    assert [form["resource"] for form in aaa.forms] == [[it] for it in places[:-1]]


async def test_so_many_tokens_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "MOST", 3)
    aaa = Aaa()
    for number in range(10):
        await aaa.tokens.token(TokenOwner("acme", f"hook-{number}", HERE))
    assert [it.destination_id for it in aaa.tokens._tokens if it] == ["hook-6", "hook-7", "hook-8", "hook-9"]


@pytest.mark.parametrize("status", [400, 401, 500, 404, 410])
async def test_no_token_is_trouble_of_our_own_and_not_kept(status: int) -> None:
    aaa = Aaa()
    aaa.status = status
    with pytest.raises(ContextUnavailable, match=f"answered {status}") as caught:
        await aaa.tokens.token()
    assert "s3cret" not in str(caught.value)
    aaa.status = 200
    assert await aaa.tokens.token() == f"token-{len(aaa.forms)}"


@pytest.mark.parametrize("token", [None, "", 7, "två", "a b", "a\r\nx: y", "a\x00"])
async def test_an_answer_without_a_token_is_a_bad_one(token: object) -> None:
    with pytest.raises(ContextUnavailable, match="without an access_token"):
        await Aaa(access_token=token).tokens.token()


async def test_nothing_secret_can_be_printed_and_nothing_expired_is_kept() -> None:
    aaa = Aaa()
    one, two = (TokenOwner("acme", it, HERE) for it in ("one", "two"))
    await aaa.tokens.token(one)
    assert not {"token-1", "s3cret"} & set(repr((aaa.tokens, aaa.tokens._tokens)).split("'"))
    aaa.clock.time += 3600
    await aaa.tokens.token(two)
    assert list(aaa.tokens._tokens) == [two]
