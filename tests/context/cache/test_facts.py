"""What lies on the shelf is read as it was kept, or not at all; and what is a time can be told to anybody."""

import json
import zlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.context.facts import LARGE, SEAL, Copy, _seal, decoded, encoded, lets
from notification_sender.context.moments import moment, rfc3339
from notification_sender.policy.freshness import Fence

KEY, OWNER = "ns:1:{org-1}:fact:k:1", "org-1"
NOON = datetime(2026, 3, 6, 12, tzinfo=UTC)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["modified", "cached_at"]) | st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)
ENTRIES = st.fixed_dictionaries(
    {}, optional={"organization_id": st.just(OWNER) | JSON, "value": JSON, "words": st.text() | JSON}
).map(lambda it: json.dumps(it).encode())
BODIES = st.one_of(
    *(st.binary(), st.binary().map(lambda it: b"\x01" + it), st.binary().map(lambda it: b"\x02" + it)),
    *(ENTRIES.map(lambda it: b"\x01" + it), ENTRIES.map(lambda it: b"\x02" + zlib.compress(it))),
)


@given(BODIES, st.builds(Fence, st.none() | st.just(NOON), st.none() | st.just(NOON)))
def test_any_bytes_that_we_kept_are_a_copy_that_can_be_judged_or_nothing(body: bytes, fence: Fence) -> None:
    copy = decoded(KEY, OWNER, _seal(KEY, body) + body, 1.0, 2.0)
    if copy is not None:
        lets(fence, copy)
        assert decoded(KEY, OWNER, encoded(KEY, OWNER, copy), 1.0, 2.0) == copy


@given(JSON, st.text(), st.sampled_from([0, LARGE]))
def test_what_is_kept_comes_back_as_it_was_to_its_owner_alone(value: Any, words: str, weight: int) -> None:
    copy = Copy([value, "x" * weight], 1.0, 2.0, words)
    assert decoded(KEY, OWNER, encoded(KEY, OWNER, copy), 1.0, 2.0) == copy
    assert decoded(KEY, "org-2", encoded(KEY, OWNER, copy), 1.0, 2.0) is None


@given(st.integers(0), st.integers(1, 255))
def test_what_we_did_not_keep_just_so_at_this_very_key_is_not_there(place: int, flip: int) -> None:
    kept = bytearray(encoded(KEY, OWNER, Copy({"a": 1}, 1.0, 2.0)))
    assert decoded(f"{KEY}0", OWNER, bytes(kept), 1.0, 2.0) is None
    assert decoded(KEY, OWNER, bytes(kept[SEAL:]), 1.0, 2.0) is None
    kept[place % len(kept)] ^= flip
    assert decoded(KEY, OWNER, bytes(kept), 1.0, 2.0) is None


@given(st.text() | st.datetimes(timezones=st.none() | st.timezones()).map(str) | JSON)
def test_whatever_is_read_as_a_time_can_be_written_as_one(text: object) -> None:
    read = moment(text)
    assert read is None or moment(rfc3339(read)) == read


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_what_is_outside_the_years_of_utc_is_no_time(text: str) -> None:
    assert moment(text) is None
