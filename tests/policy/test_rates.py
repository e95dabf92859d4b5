"""Each override of a rate has a limit of its own."""

from notification_sender.model.override import Override
from notification_sender.policy.limits import Limit
from notification_sender.policy.rates import in_force, rates

SLOW = Override("rate", "org-1/webhook", 1.5, 9.0, "anna", "12/hour burst 2")
FREE = Override("rate", "org-2/webhook", 1.5, 9.0, "anna", "off")
PAUSE = Override("pause", "organization/org-3", 1.5, 9.0, "anna")


def test_an_override_is_the_limit_of_its_organization_and_channel_under_a_key_of_its_own() -> None:
    known = rates([SLOW, FREE, PAUSE])
    assert known == {
        ("org-1", "webhook"): Limit("webhook", 300_000_000, 2, era="1500000"),
        ("org-2", "webhook"): None,
    }


def test_only_the_limit_that_counts_now_is_in_force() -> None:
    known = rates([SLOW, FREE])
    told = {
        (organization, key): in_force(organization, key, known)
        for organization in ("org-1", "org-2", "org-3")
        for key in ("webhook", "webhook~1", "webhook~1500000", "email")
    }
    assert {it for it, counts in told.items() if counts} == {
        ("org-1", "webhook~1500000"),
        ("org-1", "email"),
        ("org-2", "email"),
        ("org-3", "webhook"),
        ("org-3", "email"),
    }
