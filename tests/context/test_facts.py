"""What lies on the shelf is read as it was kept, or not at all; and what is a time can be told to anybody."""

import json
import zlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.context.facts import LARGE, Copy, decoded, encoded, lets
from notification_sender.context.moments import moment, rfc3339
from notification_sender.policy.freshness import Fence

OWNER = "org-1"
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
def test_any_bytes_are_a_copy_that_can_be_judged_or_nothing(body: bytes, fence: Fence) -> None:
    copy = decoded(OWNER, body, 1.0, 2.0)
    if copy is not None:
        lets(fence, copy)
        assert decoded(OWNER, encoded(OWNER, copy), 1.0, 2.0) == copy


@given(JSON, st.text(), st.sampled_from([0, LARGE]))
def test_what_is_kept_comes_back_as_it_was_to_its_owner_alone(value: Any, words: str, weight: int) -> None:
    copy = Copy([value, "x" * weight], 1.0, 2.0, words)
    assert decoded(OWNER, encoded(OWNER, copy), 1.0, 2.0) == copy
    assert decoded("org-2", encoded(OWNER, copy), 1.0, 2.0) is None


@given(st.text() | st.datetimes(timezones=st.none() | st.timezones()).map(str) | JSON)
def test_whatever_is_read_as_a_time_can_be_written_as_one(text: object) -> None:
    read = moment(text)
    assert read is None or moment(rfc3339(read)) == read


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_what_is_outside_the_years_of_utc_is_no_time(text: str) -> None:
    assert moment(text) is None
