"""Strategies: what publishers set beside a body, as bytes."""

from datetime import UTC, datetime
from decimal import Decimal
from struct import pack
from typing import Any

from hypothesis import strategies as st
from pamqp.commands import Basic

from tests.faults.raw import long, properties, short, table

NAMES = st.sampled_from(["x-attempt", "x-first-seen", "x-due", "x-reason"]) | st.text(max_size=20)
NAMES_IN_TIME = NAMES.filter(lambda it: len(it.encode()) < 128)
TIMES = st.integers(0, 2**32 - 1).map(lambda it: datetime.fromtimestamp(it, UTC))
# The library writes and reads these alike; of the rest it makes something else, or an error.
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(), TIMES),
        *(st.binary().map(bytearray), st.floats(allow_nan=False, width=32)),
        st.integers(0, 2**31 - 1).map(lambda it: Decimal(it).scaleb(-2)),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES_IN_TIME, inner, max_size=3),
    max_leaves=8,
)
TEXTS = st.text(min_size=1, max_size=40).filter(lambda it: len(it.encode()) < 256)
PROPERTIES = st.builds(
    Basic.Properties,
    headers=st.dictionaries(NAMES_IN_TIME, VALUES, min_size=1, max_size=5),
    timestamp=st.none() | TIMES,
    delivery_mode=st.sampled_from([1, 2]),
    priority=st.none() | st.integers(0, 255),
    **{name: st.none() | TEXTS for name in ("content_type", "content_encoding", "message_id", "expiration", "app_id")},
)

FIELDS = st.one_of(
    st.binary(max_size=30).map(lambda it: b"S" + long(it)),
    st.text(max_size=30).map(lambda it: b"S" + long(it.encode())),
    *(
        st.binary(min_size=size, max_size=size).map(lambda it, kind=kind: kind.encode() + it)
        for kind, size in {"t": 1, "b": 1, "B": 1, "s": 2, "u": 2, "I": 4, "i": 4, "l": 8, "L": 8}.items()
    ),
)
"""Values of a table that need no other value to be read."""

FLAT = st.lists(st.tuples(NAMES_IN_TIME.map(str.encode), FIELDS), max_size=6).map(lambda it: table(*it))
USUAL = st.fixed_dictionaries(
    {},
    optional={
        "content_type": TEXTS.map(lambda it: short(it.encode())),
        "headers": FLAT,
        "delivery_mode": st.binary(min_size=1, max_size=1),
        "message_id": st.binary(max_size=40).map(short),
        "timestamp": st.integers(0, 2**64 - 1).map(lambda it: pack(">Q", it)),
        "cluster_id": st.binary(max_size=10).map(short),
    },
).map(lambda it: properties(**it))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Properties, some of whose bytes are others, are missing, or stand there twice."""
    beside = bytearray(draw(PROPERTIES.map(Basic.Properties.marshal) | USUAL))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(beside)))
        beside[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(beside)
