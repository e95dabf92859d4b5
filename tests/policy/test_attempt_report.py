"""What an attempt says of its destination, and for how long it is left alone."""

from dataclasses import fields

import pytest

from notification_sender.model.errors import ForbiddenAddress, Gone, Rejected, SendFailed, Sent
from notification_sender.model.outcome import Dead, Deferred, Delivered, Failed, Outcome, Receipt
from notification_sender.policy.attempt_report import LONGEST_HOLD, Verdict, history_entry, retry_hold, verdict


def failed(*, sent: Sent, ill: bool = False, between: bool = False, retry_after: float | None = None) -> Failed:
    return Failed(5.0, SendFailed("…", sent=sent, ill=ill, between=between, retry_after=retry_after))


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (Delivered(Receipt("200")), "accepted"),
        (Dead.of(Gone("answered 410")), "gone"),
        (Dead.of(Rejected("answered 404")), "failed"),
        (Dead.of(ForbiddenAddress("10.0.0.1")), "failed"),
        (failed(sent=Sent.ANSWERED), "failed"),
        (failed(sent=Sent.NOTHING, ill=True), "failed"),
        (Dead("exhausted", "…", error=failed(sent=Sent.UNKNOWN, ill=True).error), "failed"),
        (failed(sent=Sent.NOTHING), "neither"),
        (failed(sent=Sent.NOTHING, ill=True, between=True), "neither"),
        (Dead("context_unavailable", "no token"), "neither"),
        (Deferred(15.0, "slow_down"), "neither"),
    ],
)
def test_only_what_its_recipient_did_is_held_against_a_destination(outcome: Outcome, says: Verdict) -> None:
    assert verdict(outcome) == says


def test_of_an_acceptance_its_recipient_decides_nothing_that_is_kept() -> None:
    kept = history_entry(Delivered(Receipt("200", status=200)), attempt=1, at=1e9, seconds=0.5)
    told = '{"step":"send","outcome":"delivered","receipt":"200","attempt":1,"at":1000000000.0,"ms":500.0}'
    assert kept == told
    assert {it.name for it in fields(Receipt)} == {"text", "status"}


def test_a_wish_for_time_holds_for_an_hour_at_most() -> None:
    assert retry_hold(failed(sent=Sent.ANSWERED, retry_after=90.0)) == 90.0
    assert retry_hold(failed(sent=Sent.ANSWERED, retry_after=86_400.0)) == LONGEST_HOLD
    assert retry_hold(failed(sent=Sent.ANSWERED)) == retry_hold(Delivered(Receipt("200"))) == 0.0
