"""What is taken from an API can be written again; what is not is told apart from what is no answer at all."""

import json
from asyncio import run
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.context.cache.facts import Fact, decode, encode
from notification_sender.context.upstream import json_pieces as pieces
from notification_sender.context.upstream.errors import BadAnswer, BadRecord
from notification_sender.context.upstream.json_pieces import PIECE
from notification_sender.context.upstream.json_reading import DEEPEST, read, read_any
from notification_sender.recipes.intel.records import geojson

WIDE = 2**80
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-WIDE, WIDE),
    st.floats(),  # NaN and the infinities as well
    st.text(st.characters(exclude_categories=())),  # halves of surrogate pairs as well
)
NAMES = st.text(st.characters(exclude_categories=()), max_size=5)
RECORDS = st.recursive(ODD, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=20)


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@given(RECORDS, st.integers(0, 300))
def test_what_is_read_can_be_kept_and_told_and_what_cannot_is_a_bad_record(record: Any, levels: int) -> None:
    body = b'{"a":' * levels + json.dumps(record).encode() + b"}" * levels
    try:
        value = read(body)
    except BadRecord:
        return
    kept = encode("key", "acme", Fact(value, 0.0, 0.0))
    again = run(decode("key", "acme", kept, 0.0, 0.0))
    assert again is not None
    assert again.value == value
    assert orjson.loads(orjson.dumps({"data": {"of": [value]}}))["data"]["of"] == [value]


@given(st.integers(-WIDE, WIDE))
def test_an_integer_keeps_all_its_digits(number: int) -> None:
    assert str(read(f'{{"serial": {number}}}'.encode())["serial"]) == str(number)


def test_reader_and_writer_agree_on_one_depth() -> None:
    assert orjson.loads(orjson.dumps(read(nested(DEEPEST))))
    for levels in (DEEPEST + 1, 300, 1000, 2000, 100_000):
        with pytest.raises(BadRecord, match=f"nested deeper than {DEEPEST}"):
            read(nested(levels))
    assert geojson(nested(300).decode()) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": 1', b'[{"a": "\\ud83d"}', b"\x1f\x8b", b"maintenance"])
def test_what_broke_off_or_is_a_page_of_somebody_else_is_no_record(body: bytes) -> None:
    with pytest.raises(BadAnswer, match="not JSON") as caught:
        read(body)
    assert not isinstance(caught.value, BadRecord)


def long_texts(filling: str, *, levels: int = 1) -> bytes:
    return ("[" * levels + ",".join([filling] * (3 * PIECE // len(filling))) + "]" * levels).encode()


@pytest.mark.parametrize("around", ["%s", ' {"a": %s, "b": [1]}\n', '[1, %s , {"a": {"b": %s}}]', '{"a":%s,"a":2}'])
@pytest.mark.parametrize(
    "filling",
    [
        '{"id":"a","n":null}',
        "[1,2.5]",
        "[]",
        "1",
        '"a,]}"',
        '"\\\\"',
        '"\\"]"',
        "9" * 30,
        '{"x":[{"y":"\\\\\\""}]}',
        "[[[]]]",
        '"%s"' % ("ü" * 700),
        '{"a":"%s"}' % ("\\n" * 9000),
    ],
)
def test_a_text_that_is_read_in_pieces_has_the_value_that_it_has_in_one(filling: str, around: str) -> None:
    body = around.encode().replace(b"%s", long_texts(filling))
    assert run(read_any(body)) == read(body)


@pytest.mark.parametrize(
    "broken",
    [
        "%s,",
        "[%s,]",
        "[,%s]",
        "[%s",
        "%s]",
        "[%s}",
        '{"a" %s}',
        "{%s}",
        "[%s 1]",
        "[1 %s]",
        '{"a":%s,}',
        "[%s,,1]",
        '[%s,"',
        '[%s,"\\',
        '["\\ud83d",%s,}',
        "%s%s",
        "{1:%s}",
        "[%s:1]",
    ],
)
def test_a_long_text_that_is_no_json_is_none_wherever_it_is_broken(broken: str) -> None:
    body = broken.encode().replace(b"%s", long_texts('{"id":"a"}'))
    with pytest.raises(BadAnswer, match="not JSON") as caught:
        run(read_any(body))
    assert not isinstance(caught.value, BadRecord)


@pytest.mark.parametrize("odd", ['"\\ud83d"', "NaN", "1e999", "[" * DEEPEST + "]" * DEEPEST])
def test_what_cannot_be_written_again_is_a_bad_record_in_a_long_text_too(odd: str) -> None:
    for body in (f"[{odd},%s]", f"[%s,{odd}]"):
        with pytest.raises(BadRecord):
            run(read_any(body.encode().replace(b"%s", long_texts('{"id":"a"}'))))


def test_of_lists_and_objects_there_are_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MOST", 1000)
    with pytest.raises(BadRecord, match="more than 1000 lists and objects"):
        run(read_any(long_texts("[]")))
