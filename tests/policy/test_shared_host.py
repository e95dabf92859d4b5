"""A host is out for all of its tenants only where several fail and nobody's send goes well."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.policy.breaker import HOST
from notification_sender.policy.shared_host import ORGANIZATIONS, SEVERAL, SharedHost

RESULTS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.booleans(), st.floats(0, 10)),
    max_size=200,
)


@given(RESULTS)
def test_within_a_minute_of_anybodys_success_a_host_is_not_out(results: list[tuple[str, bool, float]]) -> None:
    host, now, succeeded = SharedHost(), 0.0, float("-inf")
    for organization, well, later in results:
        now += later
        if well:
            host.succeeded(now)
            succeeded = now
        elif host.failed(organization, now):
            assert now - succeeded >= HOST.window


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 10)), max_size=200))
def test_two_organizations_say_nothing_of_a_third_however_often_they_fail(results: list[tuple[str, float]]) -> None:
    host, now = SharedHost(), 0.0
    for organization, later in results:
        now += later
        assert not host.failed(organization, now)


@pytest.mark.parametrize("organizations", [SEVERAL, 5, HOST.failures])
def test_as_many_failures_as_of_one_organization_are_enough_of_several(organizations: int) -> None:
    host = SharedHost()
    out = [host.failed(f"org-{number % organizations}", 1.0) for number in range(HOST.failures)]
    assert out == [False] * (HOST.failures - 1) + [True]


def test_failures_of_long_ago_do_not_count() -> None:
    host = SharedHost()
    for number in range(HOST.failures - 1):
        host.failed(f"org-{number}", 0.0)
    assert not host.failed("org", HOST.window + 1)


def test_of_many_organizations_a_few_are_remembered() -> None:
    host = SharedHost()
    for number in range(1000):
        host.failed(f"org-{number}", 0.0)
    assert len(host._failures) == ORGANIZATIONS
