"""The busiest organizations have series of their own; all others share one."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from notification_sender.policy.busiest import HALF_LIFE_SECONDS
from notification_sender.telemetry import top_organizations
from notification_sender.telemetry.top_organizations import OTHER, TopOrganizations

Values = dict[tuple[str, str], float]


class Scrapes:
    def __init__(self, most: int) -> None:
        self.now = 0.0
        registry = CollectorRegistry()
        labels = ("organization", "outcome")
        self.top = TopOrganizations("n", "text", labels, most=most, registry=registry, monotonic=lambda: self.now)

    def scrape(self) -> Values:
        self.top.refresh()
        [family] = self.top.collect()
        return {(it.labels["organization"], it.labels["outcome"]): it.value for it in family.samples}

    def deliver(self, organization: str, times: int) -> None:
        for _ in range(times):
            self.top.count(organization, "delivered")


def test_a_busier_organization_takes_the_series_of_one_that_became_quiet() -> None:
    scrapes = Scrapes(most=1)
    scrapes.deliver("a", 10)
    scrapes.deliver("b", 9)
    assert scrapes.scrape() == {("a", "delivered"): 10, (OTHER, "delivered"): 9}
    scrapes.deliver("b", 10)
    assert scrapes.scrape() == {("a", "delivered"): 10, (OTHER, "delivered"): 19}  # not twice as busy
    scrapes.now += 2 * HALF_LIFE_SECONDS
    scrapes.deliver("b", 5)
    assert scrapes.scrape() == {("b", "delivered"): 5, (OTHER, "delivered"): 19}


@given(
    st.lists(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 50), st.floats(0, 3600)))), st.integers(0, 3)
)
def test_no_series_falls_unless_it_begins_again_and_all_are_counted_once(
    history: list[list[tuple[str, int, float]]], most: int
) -> None:
    scrapes, counted, before = Scrapes(most), Counter[str](), Counter[tuple[str, str]]()
    gone: float = 0
    for turn in history:
        for organization, times, seconds in turn:
            scrapes.deliver(organization, times)
            counted[organization] += times
            scrapes.now += seconds
        values = scrapes.scrape()
        assert len({organization for organization, _ in values} - {OTHER}) <= most
        assert all(value >= before[pair] for pair, value in values.items())
        gone += sum(before[pair] for pair in before if pair not in values)
        assert sum(values.values()) + gone == counted.total()
        before = Counter(values)


def test_nothing_grows_while_nobody_scrapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_organizations, "MOST_PENDING", 100)
    scrapes = Scrapes(most=2)
    for number in range(1000):
        scrapes.deliver(f"organization-{number}", 1)
        assert len(scrapes.top._pending) < 100
    assert sum(scrapes.scrape().values()) == 1000
