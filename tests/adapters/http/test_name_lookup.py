"""Names of strangers, and what strangers' name servers say of them: each ends soon, and as what it is."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from notification_sender.adapters.http import egress, name_lookup
from notification_sender.adapters.http.egress import Dial, dialling
from notification_sender.adapters.http.name_lookup import (
    LOOKUPS_PER_ORGANIZATION,
    MAX_ADDRESSES,
    NameLookup,
    NameUnknown,
)
from notification_sender.adapters.http.transport import AiohttpTransport
from notification_sender.model.errors import Sent, SlowDown, TransportError
from tests.services.odd_names import (
    CNAME,
    NO_SUCH_NAME,
    REFUSED,
    SERVFAIL,
    TRUNCATED,
    WELL,
    OddNameServer,
    Question,
    Say,
    addresses,
    odd_names,
    record,
    wire,
)
from tests.services.program import free_port

HERE = "127.0.0.5"


def silent(_: Question) -> None:
    """The name server hangs."""


def code(flags: int) -> Say:
    return lambda question: question.answer(flags=flags)


def alias(of: str) -> Say:
    return lambda question: question.answer([record(question.name, CNAME, wire(of))])


def loop_of_aliases(question: Question) -> bytes:
    one, other = question.name, f"x.{question.name}"
    return question.answer([record(one, CNAME, wire(other)), record(other, CNAME, wire(one))])


def truncated(question: Question) -> bytes:
    return addresses(HERE)(question) if question.tcp else question.answer(flags=WELL | TRUNCATED)  # type: ignore[return-value]


def truncated_for_ever(question: Question) -> bytes:
    return question.answer(flags=WELL | TRUNCATED)


def truncated_and_closed(question: Question) -> bytes:
    if question.tcp:
        raise ConnectionResetError
    return question.answer(flags=WELL | TRUNCATED)


def wrong_id(question: Question) -> bytes:
    return question.answer([record(question.name, question.kind, b"\x7f\0\0\5")], id_=b"\0\0")


def wrong_question(question: Question) -> bytes:
    return question.answer([record("other.test", question.kind, b"\x7f\0\0\5")], raw=wire("other.test") + b"\0\1\0\1")


def half(question: Question) -> bytes:
    whole = addresses(HERE, "::5")(question)
    assert whole is not None
    return whole[: len(whole) // 2]


def many(count: int) -> Say:
    return addresses(*(f"127.1.{number // 250}.{number % 250 + 1}" for number in range(count)))


def odd_bytes(question: Question) -> bytes:
    return question.answer([record("\x00\xff\n.test", question.kind, b"\x7f\0\0\5"), b"\xc0\xff" * 40])


def of_odd_length(question: Question) -> bytes:
    return question.answer([record(question.name, question.kind, b"\x7f\0\0")])


def points_at_itself(question: Question) -> bytes:
    return question.answer([b"\xc0\x0c" + record("", CNAME, b"\xc0\x0c")[1:]])


ENDS: Mapping[str, tuple[Say, str]] = {
    "missing": (code(NO_SUCH_NAME), "not found"),
    "servfail": (code(SERVFAIL), "name server"),
    "refused": (code(REFUSED), "name server"),
    "empty": (addresses(), "name server"),
    "silent": (silent, "name server"),
    "loop": (loop_of_aliases, "name server"),
    "alias-to-nothing": (alias("nowhere.test"), "name server"),
    "truncated-for-ever": (truncated_for_ever, "name server"),
    "truncated-and-closed": (truncated_and_closed, "its answer is truncated"),
    "wrong-id": (wrong_id, "name server"),
    "wrong-question": (wrong_question, "name server"),
    "half": (half, "name server"),
    "odd-bytes": (odd_bytes, "name server"),
    "odd-length": (of_odd_length, "name server"),
    "itself": (points_at_itself, "name server"),
    "five-hundred": (many(500), "addresses"),
}


@asynccontextmanager
async def looking(server: OddNameServer | str) -> AsyncIterator[NameLookup]:
    names = NameLookup([server if isinstance(server, str) else server.place])
    try:
        yield names
    finally:
        await names.close()


async def look(names: NameLookup, name: str, organization: str = "org") -> list[str]:
    dialling.set(Dial(tls=True, organization=organization))
    return [answer["host"] for answer in await names.resolve(name, 443)]


async def fault(names: NameLookup, name: str, organization: str = "org") -> Exception:
    with pytest.raises((NameUnknown, SlowDown)) as caught:
        await look(names, name, organization)
    return caught.value


async def test_a_name_has_the_addresses_of_both_families() -> None:
    async with odd_names({"a.test": addresses(HERE, "::5")}) as server, looking(server) as names:
        assert sorted(await look(names, "A.test")) == [HERE, "::5"]


async def test_the_names_of_this_machine_are_its_loopback_address_alone() -> None:
    async with odd_names({}) as server, looking(server) as names:
        assert await look(names, "localhost") == ["127.0.0.1"]
        assert await look(names, "receiver.localhost") == ["127.0.0.1"]


async def test_a_truncated_answer_is_asked_for_again_over_tcp() -> None:
    async with odd_names({"a.test": truncated}) as server, looking(server) as names:
        assert await look(names, "a.test") == [HERE]


@pytest.mark.parametrize("tcp", [True, False], ids=["closes TCP", "refuses TCP"])
async def test_an_answer_that_is_cut_off_and_not_to_be_had_over_tcp_is_no_trouble_of_our_name_servers(
    *,
    tcp: bool,
) -> None:
    says = {"odd.test": truncated_and_closed, "well.test": addresses(HERE)}
    async with odd_names(says, tcp=tcp) as server, looking(server) as names:
        with capture_logs() as logs:
            assert isinstance(await fault(names, "odd.test"), NameUnknown)
        assert not logs
        assert await look(names, "well.test") == [HERE]


@pytest.mark.parametrize("kind", ENDS)
async def test_whatever_a_name_server_says_of_a_name_it_ends_and_says_why(kind: str) -> None:
    say, why = ENDS[kind]
    async with odd_names({"odd.test": say}) as server, looking(server) as names:
        assert why in str(await fault(names, "odd.test"))


@pytest.mark.parametrize("name", ["a\x01b.test", "a b.test", "ü.test", "a" * 64 + ".test", "a..test", ".", "a" * 300])
async def test_a_name_that_cannot_be_asked_for_is_unknown(name: str) -> None:
    async with odd_names({}) as server, looking(server) as names:
        assert isinstance(await fault(names, name), NameUnknown)


def mangled(dice: random.Random) -> Say:
    """A good answer of which some bytes are others, or missing, or more."""

    def say(question: Question) -> bytes | None:
        whole = bytearray(addresses(HERE, "::5")(question) or b"")
        for _ in range(dice.randrange(1, 8)):
            whole[dice.randrange(2 * dice.randrange(2), len(whole))] = dice.randrange(256)
        return bytes(whole[: dice.randrange(len(whole))] if dice.random() < 0.2 else whole + dice.randbytes(9))

    return say


async def test_of_two_hundred_mangled_answers_each_ends_and_holds_up_no_good_one() -> None:
    dice = random.Random(7)
    says = {f"odd-{number}.test": mangled(dice) for number in range(200)}
    says |= {f"good-{number}.test": addresses(HERE) for number in range(200)}
    async with odd_names(says) as server, looking(server) as names:
        odd = [asyncio.create_task(look(names, f"odd-{number}.test", f"org-{number % 10}")) for number in range(200)]
        good = await asyncio.gather(
            *(look(names, f"good-{number}.test", f"good-{number % 10}") for number in range(200))
        )
        ends = await asyncio.gather(*odd, return_exceptions=True)
    assert good == [[HERE]] * 200
    assert {type(it) for it in ends} <= {list, NameUnknown}


async def test_names_that_hang_of_one_organization_hold_up_nobody_else_and_are_not_held_against_its_receivers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(name_lookup, "TURN_TIMEOUT", 0.05)
    says: dict[str, Say] = {f"hangs-{number}.test": silent for number in range(3 * LOOKUPS_PER_ORGANIZATION)}
    async with odd_names(says | {"well.test": addresses(HERE)}) as server, looking(server) as names:
        before = threading.active_count()
        hanging = [asyncio.create_task(look(names, name, "hangs")) for name in says]
        assert await look(names, "well.test", "other") == [HERE]
        assert not any(task.done() and not task.exception() for task in hanging)
        assert threading.active_count() <= before + 1  # pycares's own, however many names there are
        ends = await asyncio.gather(*hanging, return_exceptions=True)
    assert sum(isinstance(it, NameUnknown) for it in ends) == LOOKUPS_PER_ORGANIZATION
    assert sum(isinstance(it, SlowDown) and not it.of_all for it in ends) == 2 * LOOKUPS_PER_ORGANIZATION


async def test_a_name_is_asked_for_once_however_many_wait_and_kept_for_as_long_as_it_says() -> None:
    says = {"kept.test": addresses(HERE, ttl=60), "not-kept.test": addresses(HERE, ttl=0)}
    async with odd_names(says) as server, looking(server) as names:
        for name, questions in (("kept.test", 2), ("not-kept.test", 4)):
            found = await asyncio.gather(*(look(names, name, f"org-{it}") for it in range(50)))
            assert found == [[HERE]] * 50
            assert server.asked[name] == 2  # one for each family
            await look(names, name)
            assert server.asked[name] == questions


async def test_a_name_that_is_not_there_is_not_asked_for_again_at_once() -> None:
    async with odd_names({}) as server, looking(server) as names:
        await fault(names, "missing.test")
        asked = server.asked["missing.test"]
        await fault(names, "missing.test")
        assert server.asked["missing.test"] == asked


async def test_a_name_that_moved_is_followed_whatever_its_time_to_live(monkeypatch: pytest.MonkeyPatch) -> None:
    where = [HERE]

    def moving(question: Question) -> bytes | None:
        return addresses(*where, ttl=86_400)(question)

    async with (
        odd_names({"moves.test": moving}) as server,
        looking(server) as names,
    ):
        assert await look(names, "moves.test") == [HERE]
        where[:] = ["127.0.0.6"]
        loop, later = asyncio.get_running_loop(), asyncio.get_running_loop().time() + 61
        monkeypatch.setattr(loop, "time", lambda: later)
        assert await look(names, "moves.test") == ["127.0.0.6"]


async def test_a_name_with_a_dot_is_asked_for_as_it_stands_first() -> None:
    async with odd_names({"hooks.test": addresses(HERE)}) as server, looking(server) as names:
        await look(names, "hooks.test")
        assert set(server.order) == {"hooks.test"}


async def test_a_name_server_of_ours_that_is_away_is_no_receiver_s_fault() -> None:
    async with looking(f"127.0.0.1:{free_port()}") as names:
        away = await fault(names, "a.test")
    assert isinstance(away, SlowDown)
    assert not away.of_all


async def test_whoever_stops_waiting_ends_no_look_up_of_another() -> None:
    async with odd_names({"a.test": addresses(HERE)}) as server, looking(server) as names:
        first = asyncio.create_task(look(names, "a.test", "one"))
        second = asyncio.create_task(look(names, "a.test", "two"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == [HERE]


async def test_a_look_up_ends_with_the_last_that_waits_for_it() -> None:
    says: dict[str, Say] = {f"hangs-{number}.test": silent for number in range(20)}
    async with odd_names(says) as server, looking(server) as names:
        waiting = [asyncio.create_task(look(names, name, whose)) for name in says for whose in ("one", "two")]
        while len(server.asked) < len(says):  # noqa: ASYNC110 - it cannot be awaited, only asked
            await asyncio.sleep(0)
        lookups = list(names._lookups.values())
        for task in waiting[1:]:
            task.cancel()
        await asyncio.wait(waiting[1:])
        assert list(names._lookups) == ["hangs-0.test"]
        assert sum(flight.cancelling() or flight.cancelled() for flight in lookups) == len(says) - 1
        waiting[0].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert not names._lookups


@pytest.mark.parametrize("kind", ["missing", "servfail", "five-hundred"])
async def test_a_send_to_such_a_name_says_why_and_that_nothing_was_sent(kind: str) -> None:
    say, why = ENDS[kind]
    async with (
        odd_names({"odd.test": say}) as server,
        looking(server) as names,
        aclosing(AiohttpTransport(allow=lambda *_, **__: None, resolver=names)) as transport,
    ):
        with pytest.raises(TransportError) as caught:
            await transport.exchange("POST", "https://odd.test/secret", [], b"{}", organization="org")
    assert (caught.value.sent, caught.value.ill) == (Sent.NOTHING, True)
    assert why in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_of_many_addresses_all_are_checked_and_a_few_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    dialled: list[Any] = []

    def allow(address: str, *_: Any, **__: Any) -> None:
        checked.append(address)

    def refuse(*info: Any) -> Callable[..., Any]:
        dialled.append(info)
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr(egress, "socket", SimpleNamespace(socket=refuse))
    async with (
        odd_names({"many.test": many(MAX_ADDRESSES)}) as server,
        looking(server) as names,
        aclosing(AiohttpTransport(allow=allow, resolver=names)) as transport,
    ):
        with pytest.raises(TransportError):
            await transport.exchange("POST", "https://many.test/", [], b"{}", organization="org")
    assert len(set(checked)) == MAX_ADDRESSES
    assert len(dialled) <= 6
