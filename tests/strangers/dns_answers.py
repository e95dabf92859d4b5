"""What a name server says of a receiver's name. Every name leads to the same receiver, which is well, if anywhere."""

import struct
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from tests.strangers.draft import Draft, Family

names = Family("dns")

A, CNAME, AAAA = 1, 5, 28
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME, REFUSED = 0, 2, 3, 5
HERE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Answer:
    """To both questions, for A and for AAAA, unless ``only`` says for which."""

    code: int = NO_ERROR
    addresses: tuple[str, ...] = (HERE,)
    alias: str | None = None
    ttl: int = 0
    only: int | None = None
    datagram: Literal["whole", "truncated", "nothing", "garbage", "another's id", "another's name"] = "whole"
    stream: Literal["whole", "nothing", "garbage"] = "whole"
    records: bytes = b""
    """In place of those that follow from the rest."""


def _is(odd: Draft, answer: Answer, *ends: str) -> None:
    odd.resolved = answer
    odd.destination["url"] = odd.ground.named(odd.number)
    if ends:
        odd.ends = frozenset(ends)


@names.kind
def no_such_name(odd: Draft) -> None:
    _is(odd, Answer(code=odd.dice.choice((NO_SUCH_NAME, NO_ERROR)), addresses=()), "dead", "put off")


@names.kind
def a_failure(odd: Draft) -> None:
    _is(odd, Answer(code=odd.dice.choice((SERVER_FAILURE, REFUSED, 1, 4, 9, 15)), addresses=()), "dead", "put off")


@names.kind
def silence(odd: Draft) -> None:
    _is(odd, Answer(datagram="nothing", stream="nothing"), "dead", "put off")


@names.kind
def silence_for_one_family(odd: Draft) -> None:
    _is(odd, Answer(only=A, datagram="whole"))


@names.kind
def a_truncated_answer(odd: Draft) -> None:
    _is(odd, Answer(datagram="truncated", stream=odd.dice.choice(("whole", "nothing", "garbage"))))


@names.kind
def garbage(odd: Draft) -> None:
    _is(odd, Answer(datagram=odd.dice.choice(("garbage", "another's id", "another's name"))), "dead", "put off")


@names.kind
def an_alias_of_itself(odd: Draft) -> None:
    _is(odd, Answer(addresses=(), alias=""), "dead", "put off")


@names.kind
def five_hundred_addresses(odd: Draft) -> None:
    _is(odd, Answer(addresses=(HERE,) * 500, datagram="truncated"))


@names.kind
def addresses_that_are_forbidden(odd: Draft) -> None:
    kinds = (
        "10.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "::1",
        "fe80::1",
        "::ffff:10.0.0.1",
    )
    _is(odd, Answer(addresses=(odd.dice.choice(kinds),)), "dead", "put off")


@names.kind
def a_record_of_a_wrong_length(odd: Draft) -> None:
    odd_record = b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 0, 3) + b"\x7f\x00\x01"
    _is(odd, Answer(records=odd_record), "dead", "put off")


@names.kind
def a_name_that_points_at_itself(odd: Draft) -> None:
    loop = b"\xc0\x0c" + struct.pack(">HHIH", CNAME, 1, 0, 2) + b"\xc0\x28"
    _is(odd, Answer(records=loop * 2), "dead", "put off")


@names.kind
def lifetimes(odd: Draft) -> None:
    _is(odd, Answer(ttl=odd.dice.choice((0, 1, 2**31, 2**32 - 1))), "delivered")


def message(question: bytes, answer: Answer, *, cut: bool) -> bytes:
    """The reply to a whole question; ``cut``: without its records, to be asked for over a stream."""
    kind = struct.unpack(">H", question[-4:-2])[0]
    records = [] if cut else _records(answer, kind)
    flags = 0x8180 | (0x0200 if cut else 0) | answer.code
    id_ = b"\xff\xff" if answer.datagram == "another's id" else question[:2]
    asked = question[12:]
    if answer.datagram == "another's name":
        asked = b"\x05other\x00" + question[-4:]
    return id_ + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + asked + b"".join(records)


def _records(answer: Answer, kind: int) -> list[bytes]:
    if answer.records:
        return [answer.records]
    if answer.alias is not None:
        return [b"\xc0\x0c" + struct.pack(">HHIH", CNAME, 1, answer.ttl, 2) + b"\xc0\x0c"]
    found = [ip_address(it) for it in answer.addresses]
    wanted = [it.packed for it in found if kind == (A if it.version == 4 else AAAA)]
    return [b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, answer.ttl, len(it)) + it for it in wanted]
