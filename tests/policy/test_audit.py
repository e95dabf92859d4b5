import pytest

from notification_sender.policy.audit import Audit, audit


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
        ([], "waiting"),
    ],
)
def test_a_unit_counts_once_under_the_worst_of_its_notifications(states: list[str], counted: str) -> None:
    fates = dict.fromkeys(("delivered", "suppressed", "waiting", "dead"), 0) | {counted: 1}
    assert audit(1, {"unit": states}) == Audit(1, **fates)


def test_a_unit_that_was_promised_and_never_seen_is_missing() -> None:
    found = audit(3, {"a": ["delivered"], "b": ["dead"]})
    assert (found.accounted, found.missing) == (2, 1)
    assert str(found) == "accounted for: 2 of 3 (delivered 1, suppressed 0, waiting 0, dead 1), missing: 1"


def test_more_units_than_promised_are_not_missing() -> None:
    found = audit(1, {"a": ["delivered"], "b": ["delivered"]})
    assert found.missing == 0
    assert str(found).startswith("accounted for: 2 of 1 (delivered 2")
