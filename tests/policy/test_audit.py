from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.policy.audit import WORST_FIRST, Audit, RecordedOutcome, audit, recorded_outcome, words

ENDS = st.sampled_from(
    [
        ("delivered", ""),
        ("waiting", ""),
        ("dead", "exhausted"),
        ("dead", "gone"),
        ("suppressed", "expired"),
        ("suppressed", "destination_disabled"),
    ]
)
IDS = st.text("abcXYZ019_:-", min_size=1, max_size=8)
OUTCOMES = st.builds(
    lambda end, whom, id_: RecordedOutcome(*end, whom, id_), ENDS, st.just("") | IDS, st.just("") | IDS
)
BATCHES = st.dictionaries(IDS, st.lists(OUTCOMES, min_size=1, max_size=6), max_size=6)


@pytest.mark.parametrize(
    ("states", "counted"),
    [
        (["delivered"], "delivered"),
        (["delivered", "suppressed"], "delivered"),
        (["delivered", "waiting"], "waiting"),
        (["delivered", "waiting", "dead"], "dead"),
        (["suppressed"], "suppressed"),
        (["done"], "suppressed"),
        (["delivered", "claimed"], "waiting"),
        (["delivered", None], "waiting"),
        ([], "waiting"),
    ],
)
def test_a_unit_counts_once_under_the_worst_of_its_notifications(states: list[str | None], counted: str) -> None:
    found = audit(1, {"unit": [recorded_outcome(it, None, f"n-{number}") for number, it in enumerate(states)]})
    assert str(found) == str(Audit(1, **dict.fromkeys(WORST_FIRST, 0) | {counted: 1}))


def test_a_unit_that_was_promised_and_never_seen_is_missing() -> None:
    found = audit(3, {"a": [RecordedOutcome("delivered")], "b": [RecordedOutcome("dead")]})
    assert (found.accounted, found.missing) == (2, 1)
    assert str(found) == "accounted for: 2 of 3 (delivered 1, suppressed 0, waiting 0, dead 1), missing: 1"


def test_more_units_than_promised_are_not_missing() -> None:
    found = audit(1, {"a": [RecordedOutcome("delivered")], "b": [RecordedOutcome("delivered")]})
    assert found.missing == 0
    assert str(found).startswith("accounted for: 2 of 1 (delivered 2")


def test_what_two_organizations_have_adds_up() -> None:
    assert Audit(3, 1, 0, 1, 0) + Audit(2, 0, 1, 0, 1) == Audit(5, 1, 1, 1, 1)


@given(BATCHES, BATCHES)
def test_no_notification_is_hidden_by_its_siblings(
    ours: dict[str, list[RecordedOutcome]], theirs: dict[str, list[RecordedOutcome]]
) -> None:
    """Each is counted as what became of it, and each that failed is named, however well the rest of its unit went."""
    found = audit(len(ours), ours) + audit(len(theirs), theirs)
    each = [(unit, it) for batch in (ours, theirs) for unit, its in batch.items() for it in its]
    assert found.notifications + found.units == Counter((it.state, it.reason) for _, it in each)
    assert found.notifications.total() == sum(1 for _, it in each if it.notification_id)
    failed = [(unit, it) for unit, it in each if it.state == "dead" or it.reason == "destination_disabled"]
    assert [*found.failed] == failed
    assert found.well == (not failed)


@given(st.sampled_from(["dead", "suppressed"]), st.sampled_from(["exhausted", "no_longer_relevant:closed"]), IDS)
def test_what_a_record_says_of_a_failure_is_read_back(state: str, reason: str, whom: str) -> None:
    assert recorded_outcome(state, words(reason, whom), "n") == RecordedOutcome(state, reason, whom, "n")
    assert recorded_outcome(state, reason, "n") == RecordedOutcome(
        state, reason, "", "n"
    )  # as an earlier version wrote it


@given(st.text())
def test_what_a_recipient_said_of_a_delivery_is_no_reason(text: str) -> None:
    assert recorded_outcome("delivered", text, "n") == RecordedOutcome("delivered", notification_id="n")
