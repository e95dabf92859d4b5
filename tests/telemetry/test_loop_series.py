"""Series that one thread writes read the same as the library's own."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from notification_sender.telemetry.loop_series import LoopCounter, LoopHistogram

BOUNDS = (0.001, 0.25, 0.5, 1, 10)
SERIES = st.sampled_from(["compose", 'de"liver', "unit\n"])


def _exposed(registry: CollectorRegistry) -> list[str]:
    """The times at which the series began are left out, their names are not."""
    lines = generate_latest(registry).decode().splitlines()
    return [line.rpartition(" ")[0] if "_created" in line and line[0] != "#" else line for line in lines]


@given(st.lists(st.tuples(SERIES, SERIES)))
def test_counts_are_exposed_as_the_library_exposes_them(counted: list[tuple[str, str]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    own = LoopCounter("n", "text", ("a", "b"), ours)
    library = Counter("n", "text", ("a", "b"), registry=theirs)
    for values in counted:
        own.count(*values)
        library.labels(*values).inc()
    assert _exposed(ours) == _exposed(theirs)


@given(st.lists(st.tuples(SERIES, st.sampled_from(BOUNDS) | st.floats(0, 100))))
def test_observations_are_exposed_as_the_library_exposes_them(observed: list[tuple[str, float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    own = LoopHistogram("n", "text", "a", BOUNDS, ours)
    library = Histogram("n", "text", ("a",), buckets=BOUNDS, registry=theirs)
    for value, seconds in observed:
        own.observe(value, seconds)
        library.labels(value).observe(seconds)
    assert _exposed(ours) == _exposed(theirs)
