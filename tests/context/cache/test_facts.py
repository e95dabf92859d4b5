"""A stored fact is read as it was written, or not at all; and what is a time can be told to anybody."""

import json
import zlib
from asyncio import run
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from notification_sender.context.cache.facts import LARGE, SEAL, Fact, _seal, decode, encode, satisfies_fence
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
    copy = run(decode(KEY, OWNER, _seal(KEY, body) + body, 1.0, 2.0))
    if copy is not None:
        satisfies_fence(fence, copy)
        assert run(decode(KEY, OWNER, encode(KEY, OWNER, copy), 1.0, 2.0)) == copy


@given(JSON, st.text(), st.sampled_from([0, LARGE]))
def test_what_is_kept_comes_back_as_it_was_to_its_owner_alone(value: Any, words: str, weight: int) -> None:
    copy = Fact([value, "x" * weight], 1.0, 2.0, words)
    assert run(decode(KEY, OWNER, encode(KEY, OWNER, copy), 1.0, 2.0)) == copy
    assert run(decode(KEY, "org-2", encode(KEY, OWNER, copy), 1.0, 2.0)) is None


@given(st.integers(0), st.integers(1, 255))
def test_what_we_did_not_keep_just_so_at_this_very_key_is_not_there(place: int, flip: int) -> None:
    kept = bytearray(encode(KEY, OWNER, Fact({"a": 1}, 1.0, 2.0)))
    assert run(decode(f"{KEY}0", OWNER, bytes(kept), 1.0, 2.0)) is None
    assert run(decode(KEY, OWNER, bytes(kept[SEAL:]), 1.0, 2.0)) is None
    kept[place % len(kept)] ^= flip
    assert run(decode(KEY, OWNER, bytes(kept), 1.0, 2.0)) is None
