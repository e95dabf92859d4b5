"""Which pause holds something back, and when that is looked at again."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.model.override import LONGEST_OVERRIDE, Override, PauseScope
from notification_sender.policy.pauses import SHORTEST, SPREAD, by_subject, covering, look_again

NOW = 1_772_785_560.0
dice = st.floats(0, 1, exclude_max=True)
names = st.sampled_from(["", "a", "b"])


def pause(scope: PauseScope, since: float = NOW, until: float = NOW + 60.0) -> Override:
    return Override("pause", scope.subject, since, until, "anna")


def scopes() -> st.SearchStrategy[PauseScope]:
    made = st.builds(PauseScope, names, names, names)
    return made.filter(lambda it: not it.destination_id or (bool(it.organization_id) and not it.channel))


@given(scopes(), st.sampled_from("ab"), st.sampled_from("ab"), st.sampled_from("ab"))
def test_a_pause_is_found_where_its_scope_covers_and_nowhere_else(
    scope: PauseScope, organization: str, destination: str, channel: str
) -> None:
    found = covering(by_subject([pause(scope)]), NOW, organization, channel, destination)
    assert (found is not None) == scope.covers(organization, destination, channel)
    assert PauseScope.of(scope.subject) == scope


@pytest.mark.parametrize(
    "subject", ["", "everything", "organization", "organization/", "destination/a", "channel/a/b/c"]
)
def test_a_name_that_is_none_of_a_scope_never_stands_for_everything(subject: str) -> None:
    with pytest.raises(ValueError, match="no name of what a pause holds back"):
        PauseScope.of(subject)


def test_of_several_the_longest_holds_and_one_that_ended_does_not() -> None:
    long, short = pause(PauseScope(), until=NOW + 90.0), pause(PauseScope("a"))
    assert covering(by_subject([short, long]), NOW, "a") == long
    assert covering(by_subject([short]), NOW + 60.0, "a") is None
    assert by_subject([Override("rate", "all", NOW, NOW + 9.0, "anna", "off")]) == {}


@given(st.floats(1, LONGEST_OVERRIDE), st.lists(dice, min_size=1))
def test_each_message_is_looked_at_a_few_times_and_soon_after_the_end(seconds: float, throws: list[float]) -> None:
    it, now, looks = pause(PauseScope(), until=NOW + seconds), NOW, 0
    while now < it.until:
        before, now = now, now + look_again(it, now, throws[looks % len(throws)])
        looks += 1
    assert looks <= 2 + max(0.0, math.log2(seconds / SHORTEST)) + 1
    assert now - it.until <= SPREAD * (it.until - before) + 1.001  # a float of this size is exact to a microsecond


@pytest.mark.parametrize(("age", "delay"), [(0.0, 30.0), (20.0, 30.0), (600.0, 600.0), (3590.0, 10.0)])
def test_the_next_look_is_after_as_long_as_the_pause_has_lasted(age: float, delay: float) -> None:
    it = pause(PauseScope(), until=NOW + 3600.0)
    assert look_again(it, NOW + age, 0.0) == delay
